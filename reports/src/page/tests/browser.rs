//! A real browser for the tests of pages: the Chromium that is installed, without a window.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use headless_chrome::{
    Browser, LaunchOptions, Tab,
    protocol::cdp::{Emulation, Network, Page, types::Event},
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// A browser with one page open, a file on disk.
pub struct Opened {
    tab: Arc<Tab>,
    /// What the console said, what was thrown, and what was asked of a network.
    heard: Arc<Mutex<Vec<String>>>,
    dir: TempDir,
    _browser: Browser,
}

/// Light or dark.
#[derive(Debug, Clone, Copy)]
pub enum Scheme {
    Light,
    Dark,
}

impl Opened {
    /// Opens a page in a window of this width, in pixels.
    pub fn new(html: &str, width: u32, scheme: Scheme) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        fs::write(&path, html).unwrap();
        let options = LaunchOptions::default_builder()
            .path(Some(chromium()))
            // As root, and in many a container, its sandbox does not start; it opens nothing but our own page.
            .sandbox(false)
            .args(vec![OsStr::new("--disable-dev-shm-usage")])
            .build()
            .unwrap();
        let browser = Browser::new(options).expect("chromium starts; on Debian: apt-get install chromium");
        let tab = browser.new_tab().unwrap();
        let opened = Self { tab, heard: Arc::default(), dir, _browser: browser };
        opened.listen(&format!("file://{}", path.display()));
        opened.resize(width);
        opened.choose(scheme);
        opened.tab.navigate_to(&format!("file://{}", path.display())).unwrap().wait_until_navigated().unwrap();
        opened
    }

    fn listen(&self, own: &str) {
        self.tab.enable_log().unwrap();
        self.tab.enable_runtime().unwrap();
        self.tab
            .call_method(Network::Enable {
                max_total_buffer_size: None,
                max_resource_buffer_size: None,
                max_post_data_size: None,
                report_direct_socket_traffic: None,
                enable_durable_messages: None,
            })
            .unwrap();
        let (heard, own) = (Arc::clone(&self.heard), own.to_owned());
        let listener = move |event: &Event| {
            let said = match event {
                Event::LogEntryAdded(entry) => Some(format!("log: {}", entry.params.entry.text)),
                Event::RuntimeExceptionThrown(thrown) => {
                    let details = &thrown.params.exception_details;
                    let exception = details.exception.as_ref().and_then(|object| object.description.clone());
                    Some(format!("thrown: {} {}", details.text, exception.unwrap_or_default()))
                }
                Event::RuntimeConsoleAPICalled(called) => Some(format!("console: {:?}", called.params.args)),
                Event::NetworkRequestWillBeSent(sent) => {
                    let url = &sent.params.request.url;
                    // Of its own: the page itself, its parts below #, and what stands in it as data.
                    let is_own = url.starts_with(&own) || url.starts_with("data:");
                    (!is_own).then(|| format!("request: {url}"))
                }
                _ => None,
            };
            heard.lock().unwrap().extend(said);
        };
        self.tab.add_event_listener(Arc::new(listener)).unwrap();
    }

    /// What should never be: errors, warnings, requests.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Makes the window so wide.
    pub fn resize(&self, width: u32) {
        let metrics = Emulation::SetDeviceMetricsOverride {
            width,
            height: 900,
            device_scale_factor: 1.0,
            mobile: width < 600,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(metrics).unwrap();
    }

    /// Asks for light or dark pages, as the settings of a desktop do.
    pub fn choose(&self, scheme: Scheme) {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let feature = Emulation::MediaFeature { name: "prefers-color-scheme".to_owned(), value: value.to_owned() };
        self.tab.call_method(Emulation::SetEmulatedMedia { media: None, features: Some(vec![feature]) }).unwrap();
    }

    /// The value of a JavaScript expression.
    pub fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        let object = self.tab.evaluate(&format!("JSON.stringify({expression})"), false).unwrap();
        let text = object.value.unwrap_or_else(|| panic!("{expression}: {:?}", object.description));
        serde_json::from_str(text.as_str().unwrap()).unwrap_or_else(|error| panic!("{expression}: {text}: {error}"))
    }

    /// Runs statements.
    pub fn run(&self, statements: &str) {
        self.value::<Option<bool>>(&format!("(() => {{ {statements}; return null; }})()"));
    }

    /// Draws every figure, in view or not.
    pub fn draw_all(&self) {
        self.run("document.querySelectorAll('figure').forEach((figure) => figure.draw())");
    }

    /// Presses a key where the focus is.
    pub fn press(&self, key: &str) {
        self.tab.press_key(key).unwrap();
    }

    /// Keeps a picture of the whole page where `STACKBENCH_SCREENSHOTS` names a folder, for people to look at.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("STACKBENCH_SCREENSHOTS") else { return };
        let [width, height]: [f64; 2] =
            self.value("[document.documentElement.clientWidth, document.documentElement.scrollHeight]");
        let clip = Page::Viewport { x: 0.0, y: 0.0, width, height: height.min(12_000.0), scale: 1.0 };
        let picture = Page::CaptureScreenshot {
            format: Some(Page::CaptureScreenshotFormatOption::Png),
            quality: None,
            clip: Some(clip),
            from_surface: Some(true),
            capture_beyond_viewport: Some(true),
            optimize_for_speed: None,
        };
        let picture = self.tab.call_method(picture).unwrap().data;
        let file = self.dir.path().join("picture.base64");
        fs::write(file, &picture).unwrap();
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

/// Where Debian, other distributions and Google put it.
fn chromium() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.exists());
    found.expect("no chromium on the PATH; on Debian: apt-get install chromium")
}

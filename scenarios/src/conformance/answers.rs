//! The routes: what each answers, to the byte.

use anyhow::{Context, Result, ensure};

use super::probe::{CHECK, Probe, UNKNOWN, expect_error, expect_ok, expect_ok_for, get, request};
use super::{Case, server};
use crate::wire::Answer;

/// Methods that no route has.
const OTHER_METHODS: [&str; 5] = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

pub(super) const CASES: &[Case] = &[
    server("every_route_answers_ok", "each known path: 200, `{\"status\": \"ok\"}`, all headers", every_route),
    server("query_strings_are_ignored", "a known path with a query answers as without it", query_strings),
    server("unknown_paths_answer_404", "404 with a JSON error; the connection stays", unknown_paths),
    server("other_methods_answer_405", "405 with Allow and a JSON error; the connection stays", other_methods),
    server("head_has_no_body", "HEAD: GET's status and headers without the body; the connection stays", head),
];

fn every_route(probe: &Probe) -> Result<()> {
    let holds = probe.holds().into_iter().map(|hold| hold.path);
    for path in probe.known_paths().into_iter().chain(holds) {
        let answer = probe.ask(get(&path)).with_context(|| path.clone())?;
        expect_ok(&answer).with_context(|| path.clone())?;
        ensure!(answer.minor_version == 1, "{path}: HTTP/1.1 is answered with HTTP/1.{}", answer.minor_version);
    }
    Ok(())
}

fn query_strings(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        for query in ["?", "?x=1", "?a=b&c=%20d&/check?"] {
            expect_ok_for(&mut connection, &format!("{path}{query}"))?;
        }
    }
    Ok(())
}

fn unknown_paths(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in ["/", UNKNOWN, "/check/x", "/checks", "/CHECK", "/myapp", "/myapp/sync/cache_hi", "/?x=/check"] {
        connection.send(get(path))?;
        let answer = connection.answer().with_context(|| path.to_string())?;
        expect_error(&answer, 404).with_context(|| path.to_string())?;
    }
    expect_ok_for(&mut connection, CHECK)
}

fn other_methods(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        for method in OTHER_METHODS {
            let context = || format!("{method} {path}");
            connection.send(request(method, &path))?;
            let answer = connection.answer().with_context(context)?;
            expect_error(&answer, 405).with_context(context)?;
            answer.header("allow").with_context(context)?;
            ensure!(answer.has_token("allow", "GET"), "{method} {path}: Allow does not name GET");
        }
    }
    expect_ok_for(&mut connection, CHECK)
}

fn head(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    let unknown = UNKNOWN.to_string();
    for path in probe.known_paths().into_iter().chain([unknown]) {
        let context = || format!("HEAD {path}");
        connection.send(get(&path))?;
        let to_get = connection.answer().with_context(context)?;
        connection.send(request("HEAD", &path))?;
        let to_head = connection.answer_to_head().with_context(context)?;
        // The next answer on the connection would begin with the body, if there were one.
        connection.send(get(CHECK))?;
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("after HEAD {path}"))?;
        ensure!(to_head.status == to_get.status, "HEAD {path}: {}, GET: {}", to_head.status, to_get.status);
        let (of_head, of_get) = (comparable(&to_head), comparable(&to_get));
        ensure!(of_head == of_get, "HEAD {path}: headers {of_head:?}, GET: {of_get:?}");
    }
    Ok(())
}

/// The headers that do not depend on when the answer was sent.
fn comparable(answer: &Answer) -> Vec<&(String, String)> {
    answer.headers.iter().filter(|(name, _)| name != "date").collect()
}

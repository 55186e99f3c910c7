use proptest::prelude::*;

use super::*;

/// Every command in `input` as the server would see it when `cuts` are the places where reads end.
fn commands(input: &[u8], cuts: &[usize]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut parser = Parser::default();
    let mut found = Vec::new();
    let mut start = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        loop {
            match parser.next(&input[start..cut.max(start)]) {
                Ok(Step::Command(length)) => {
                    let arguments = parser.take();
                    let bytes = &input[start..];
                    found.push((0..arguments.len()).map(|i| arguments.get(bytes, i).to_vec()).collect());
                    parser.give_back(arguments);
                    start += length;
                }
                Ok(Step::Nothing(length)) => start += length,
                Ok(Step::Incomplete) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn words(line: &str) -> Option<Vec<String>> {
    let (found, error) = commands(format!("{line}\r\n").as_bytes(), &[]);
    if error.is_some() {
        return None;
    }
    let strings = found.concat().into_iter().map(|word| word.into_iter().map(char::from).collect());
    Some(strings.collect())
}

#[test]
fn an_inline_command_is_split_by_the_quoting_rules() {
    assert_eq!(words("set  a b").unwrap(), ["set", "a", "b"]);
    assert_eq!(words(r#"set "a b" 'c d'"#).unwrap(), ["set", "a b", "c d"]);
    assert_eq!(words(r#"set "\x41\n\"" 'it\'s \n'"#).unwrap(), ["set", "A\n\"", "it's \\n"]);
    assert_eq!(words(r#"set "" ''"#).unwrap(), ["set", "", ""]);
    for unbalanced in [r#"set "a"#, "set 'a", r#"set "a"b"#, "set 'a'b", r#"set "a\"#] {
        assert_eq!(words(unbalanced), None, "{unbalanced}");
    }
}

#[test]
fn lengths_are_limited_before_anything_is_collected() {
    for (input, error) in [
        ("*2147483648\r\n", ProtocolError::ArrayLength),
        ("*x\r\n", ProtocolError::ArrayLength),
        ("*1\r\n$536870913\r\n", ProtocolError::BulkLength),
        ("*1\r\n$-1\r\n", ProtocolError::BulkLength),
        ("*1\r\n$+4\r\nPING\r\n", ProtocolError::BulkLength),
        ("*1\r\n$04\r\nPING\r\n", ProtocolError::BulkLength),
        ("*1\r\n*1\r\n", ProtocolError::NotABulk(b'*')),
    ] {
        assert_eq!(commands(input.as_bytes(), &[]).1, Some(error), "{input:?}");
    }
    let digits = "1".repeat(MAX_LINE_BYTES + 1);
    assert_eq!(commands(format!("*{digits}").as_bytes(), &[]).1, Some(ProtocolError::LongArrayHeader));
    assert_eq!(commands(format!("*1\r\n${digits}").as_bytes(), &[]).1, Some(ProtocolError::LongBulkHeader));
    assert_eq!(commands(digits.as_bytes(), &[]).1, Some(ProtocolError::LongInline));
}

#[test]
fn an_empty_array_and_an_empty_line_ask_for_nothing() {
    let (found, error) = commands(b"*0\r\n*-1\r\n\r\n\n*1\r\n$4\r\nPING\r\n", &[]);
    assert_eq!((found, error), (vec![vec![b"PING".to_vec()]], None));
}

fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn sorted(mut cuts: Vec<usize>, length: usize) -> Vec<usize> {
    cuts.iter_mut().for_each(|cut| *cut %= length + 1);
    cuts.sort_unstable();
    cuts
}

/// Any byte, but often one that means something.
fn telling_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), Just(b'*'), Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n')]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_run_past_the_input(
        input in prop::collection::vec(telling_byte(), 0..200),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let whole = commands(&input, &[]);
        let split = commands(&input, &sorted(cuts, input.len()));
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn commands_survive_any_split(
        sent in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|command| encode(command)).collect();
        let (found, error) = commands(&bytes, &sorted(cuts, bytes.len()));
        prop_assert_eq!(error, None);
        prop_assert_eq!(found, sent);
    }
}

//! Text that an attacker may have chosen, made harmless for a terminal and for a spreadsheet.

/// Text without anything that a terminal obeys: control characters, and those that turn the direction of
/// writing or cannot be seen, stand as `\x1b` or `\u{202e}`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || is_unseen(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Marks that reorder or hide the text around them (Unicode 16, 23.2 and 23.3).
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A word of a command line as a shell takes it: quoted where it holds more than letters, digits and what is plain.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Text that no spreadsheet takes for a formula: a leading `=`, `+`, `-`, `@`, tab or carriage return gets a quote
/// before it (OWASP, CSV injection).
pub fn no_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

/// [`printable`], line by line: the line ends are ours.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", printable(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_obey_nothing() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\u{202e}d\n"), "a\\x1b[2Jb\\u{9b}c\\u{202e}d\\n");
        assert_eq!(printable("Grüße, 445,137/udp"), "Grüße, 445,137/udp");
    }

    #[test]
    fn shells_see_one_word() {
        assert_eq!(shell_word("--from=2003-08-11"), "--from=2003-08-11");
        assert_eq!(shell_word("hosts = 1; rm 'x'"), r"'hosts = 1; rm '\''x'\'''");
    }

    #[test]
    fn spreadsheets_calculate_nothing() {
        assert_eq!(no_formula("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(no_formula("445,139"), "445,139");
    }
}

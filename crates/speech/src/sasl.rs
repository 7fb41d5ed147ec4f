//! SASL (RFC 4422) as mail and chat carry it: a mechanism, then lines of base64; what of it tells user and password.
//!
//! PLAIN (RFC 4616) and LOGIN tell both, CRAM-MD5 (RFC 2195) the user and a digest. Of the others the lines are only known to
//! be no commands.

use serde::{Deserialize, Serialize};

use crate::base64;
use crate::message::Message;

/// Answers of one exchange; who sends more than the longest mechanism needs is not answering.
const ANSWERS: u8 = 8;

/// An exchange.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sasl {
    step: Step,
    user: Option<String>,
    answers: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// None goes on.
    #[default]
    Closed,
    Plain,
    LoginUser,
    LoginPassword,
    Cram,
    Other,
}

impl Sasl {
    /// A client names a mechanism, and may send its first answer with it (`=` is an empty one).
    pub fn begin(&mut self, argument: &[u8], message: &mut Message) {
        let mut words = argument.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let Some(mechanism) = words.next() else { return };
        *self = Sasl::default();
        self.step = match mechanism.to_ascii_uppercase().as_slice() {
            b"PLAIN" => Step::Plain,
            b"LOGIN" => Step::LoginUser,
            b"CRAM-MD5" => Step::Cram,
            _ => Step::Other,
        };
        if let Some(first) = words.next() {
            self.answer(first, message);
        }
    }

    /// Whether the client's next line is an answer.
    pub fn is_open(&self) -> bool {
        self.step != Step::Closed
    }

    /// An answer of the client; what it tells is added to the message.
    pub fn answer(&mut self, line: &[u8], message: &mut Message) {
        let plain = base64::decode(line).unwrap_or_default();
        self.answers += 1;
        // `*` gives up.
        if line == b"*" || self.answers >= ANSWERS {
            self.close();
            return;
        }
        match self.step {
            Step::Plain => {
                let mut parts = plain.splitn(3, |b| *b == 0).skip(1);
                message.user = parts.next().map(|p| message.keep(p));
                message.password = parts.next().map(|p| message.keep(p));
                self.close();
            }
            Step::LoginUser => {
                self.user = Some(message.keep(&plain));
                message.user = self.user.clone();
                self.step = Step::LoginPassword;
            }
            Step::LoginPassword => {
                (message.user, message.password) = (self.user.take(), Some(message.keep(&plain)));
                self.close();
            }
            Step::Cram => {
                let at = plain.iter().rposition(|b| *b == b' ').unwrap_or(plain.len());
                message.user = Some(message.keep(&plain[..at]));
                message.detail("digest", plain.get(at + 1..).unwrap_or_default());
                self.close();
            }
            Step::Closed | Step::Other => {}
        }
    }

    /// The server has decided.
    pub fn close(&mut self) {
        self.step = Step::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(argument: &[u8], answers: &[&[u8]]) -> (Option<String>, Option<String>, bool) {
        let (mut sasl, mut message) = (Sasl::default(), Message::default());
        sasl.begin(argument, &mut message);
        answers.iter().for_each(|a| sasl.answer(a, &mut message));
        (message.user, message.password, sasl.is_open())
    }

    #[test]
    fn users_and_passwords_are_told() {
        let tim = |password: Option<&str>| (Some("tim".to_owned()), password.map(str::to_owned), false);
        // RFC 4616, 4, and RFC 2195, 2.
        assert_eq!(told(b"PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", &[]), tim(Some("tanstaaftanstaaf")));
        let cram = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
        assert_eq!(told(b"cram-md5", &[cram]), tim(None));
        assert_eq!(told(b"LOGIN", &[b"dGlt", b"dGlt"]), tim(Some("tim")));
        assert_eq!(told(b"LOGIN dGlt", &[b"*"]), tim(None));
        assert!(told(b"NTLM", &[b"TlRMTVNTUAABAAAA"]).2);
    }
}

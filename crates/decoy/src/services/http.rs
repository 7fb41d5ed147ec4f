//! HTTP/1 (RFC 9112): a static site that derives from the seed, and whatever is asked for is recorded.

use crate::dates::Date;
use crate::limits::{RECORDED, SECOND, UPLOAD};
use crate::record::{Said, Text, hex};
use crate::service::{Event, Service, Turn};
use crate::site::Site;

/// Whose server it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Microsoft's of Windows NT 4.0.
    Iis4,
    /// Microsoft's of Windows 2000.
    Iis5,
    /// Microsoft's of Windows Server 2016 and later.
    Iis10,
    /// Apache 1.3.23, as Red Hat Linux 7.3 installs it.
    Apache13,
    /// nginx 1.22.1, as Debian 12 installs it.
    Nginx,
    /// The administration page of a small router or camera.
    GoAhead,
}

impl Face {
    /// The entity tag of a file of that length (in bytes) which was written then (in seconds since 1970), each server's own way.
    fn tag(self, site: &Site, written_s: i64, length: usize) -> String {
        let bits = site.draw("index tag").bits();
        match self {
            // ap_setup_make_etag: inode, size, time.
            Face::Apache13 => format!("{:x}-{length:x}-{written_s:x}", 0x8000 + (bits & 0x3_ffff)),
            // ngx_http_set_etag: time, size.
            Face::Nginx | Face::GoAhead => format!("{written_s:x}-{length:x}"),
            Face::Iis4 | Face::Iis5 | Face::Iis10 => {
                // The file's time, 100 ns since 1601, byte by byte from the lowest, and how often the server's settings were changed.
                const TO_1970_S: i64 = 11_644_473_600;
                let time = (written_s + TO_1970_S) * 10_000_000 + (bits % 10_000_000) as i64;
                let time: String = time.to_le_bytes().iter().map(|byte| format!("{byte:x}")).collect();
                let changes = if self == Face::Iis10 { 0 } else { 0x800 + (bits >> 40 & 0x3ff) };
                format!("{time}:{changes:x}")
            }
        }
    }
}

/// Bytes of a request's head.
const HEAD: usize = 16_384;

#[derive(Debug)]
pub(super) struct Http {
    face: Face,
    begun: Vec<u8>,
    /// A request whose body is still to come: what was asked, how long the body is, what is kept of it.
    body: Option<(Request, u64, Vec<u8>, u64)>,
    closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Request {
    head: Vec<u8>,
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    host: bool,
    close: bool,
    keep_alive: bool,
    length: u64,
    chunked: bool,
    authorization: Option<Vec<u8>>,
    since: Option<Vec<u8>>,
    expects: bool,
}

struct Answer {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    more: String,
}

impl Http {
    pub fn new(face: Face) -> Self {
        Http { face, begun: Vec::new(), body: None, closed: false }
    }

    fn requests(&mut self, turn: &mut Turn<'_>) {
        while !self.closed {
            if let Some((request, length, kept, there)) = &mut self.body {
                let take = (*length - *there).min(self.begun.len() as u64) as usize;
                let room = UPLOAD.saturating_sub(kept.len()).min(take);
                kept.extend_from_slice(&self.begun[..room]);
                self.begun.drain(..take);
                *there += take as u64;
                if there < length {
                    return;
                }
                let request = request.clone();
                let (bytes, kept) = (*length, std::mem::take(kept));
                self.body = None;
                self.answer(&request, &kept, turn);
                if bytes > 0 {
                    turn.keep(&request.target, bytes, kept);
                }
                continue;
            }
            // Empty lines before a request are nothing (RFC 9112 2.2).
            let empty = self.begun.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.begun.drain(..empty);
            let old =
                self.begun.iter().position(|b| *b == b'\n').filter(|end| is_simple(&self.begun[..*end]));
            let Some(end) = old.map(|end| end + 1).or_else(|| end_of_head(&self.begun)) else {
                if self.begun.len() > HEAD {
                    let head = std::mem::take(&mut self.begun);
                    self.bad(&head, turn);
                }
                return;
            };
            let head: Vec<u8> = self.begun.drain(..end).collect();
            match Request::read(&head) {
                Some(request) if old.is_some() => {
                    // HTTP/0.9: the body alone, and the end.
                    self.note(&request, b"", turn);
                    let answer = self.page(&request, turn);
                    turn.say(answer.body);
                    turn.close();
                    self.closed = true;
                }
                Some(request) => {
                    if request.expects && request.version.as_slice() >= &b"HTTP/1.1"[..] {
                        turn.say("HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    let length = request.length;
                    self.body = Some((request, length, Vec::new(), 0));
                }
                None => self.bad(&head, turn),
            }
        }
    }

    fn note(&self, request: &Request, body: &[u8], turn: &mut Turn<'_>) {
        let whole = [request.head.as_slice(), body].concat();
        turn.record(Said::Request {
            method: request.method.as_slice().into(),
            target: request.target.as_slice().into(),
            whole: Text(whole[..whole.len().min(RECORDED)].to_vec()),
        });
    }

    /// What is no request: recorded and refused.
    fn bad(&mut self, head: &[u8], turn: &mut Turn<'_>) {
        turn.record(Said::Bytes {
            data: Text(head[..head.len().min(RECORDED)].to_vec()),
            bytes: head.len() as u64,
        });
        let answer = self.error(400, "");
        self.write(&Request::default(), answer, false, turn);
    }

    fn answer(&mut self, request: &Request, body: &[u8], turn: &mut Turn<'_>) {
        self.note(request, body, turn);
        if let Some(pair) = request.authorization.as_deref().and_then(basic) {
            let (user, password) = pair;
            turn.login(&user, &password);
        }
        let modern = request.version.as_slice() >= &b"HTTP/1.1"[..];
        let keep = if modern { !request.close } else { request.keep_alive };
        let answer = if modern && !request.host || request.chunked {
            self.error(400, "")
        } else {
            self.page(request, turn)
        };
        self.write(request, answer, keep, turn);
    }

    fn page(&self, request: &Request, turn: &mut Turn<'_>) -> Answer {
        let target = String::from_utf8_lossy(&request.target).into_owned();
        let path = target.split(['?', '#']).next().unwrap_or("/").to_owned();
        let path = path
            .strip_prefix("http://")
            .and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()))
            .unwrap_or(path);
        match request.method.as_slice() {
            b"GET" | b"HEAD" | b"POST" => {}
            b"OPTIONS" => {
                let allowed = match self.face {
                    Face::Iis4 => "OPTIONS, TRACE, GET, HEAD, PUT, DELETE",
                    Face::Iis5 | Face::Iis10 => "OPTIONS, TRACE, GET, HEAD, POST",
                    Face::Apache13 => "GET, HEAD, OPTIONS, TRACE",
                    _ => return self.error(405, &path),
                };
                let more = format!("Allow: {allowed}\r\n");
                return Answer { status: 200, kind: "", body: Vec::new(), more };
            }
            _ => {
                return self.error(
                    if self.face == Face::Apache13 || self.face == Face::Iis4 { 501 } else { 405 },
                    &path,
                );
            }
        }
        let site = turn.site;
        let now_s = turn.now / SECOND;
        if self.face == Face::GoAhead {
            let more = format!("WWW-Authenticate: Basic realm=\"{}\"\r\n", self.realm(turn));
            return Answer { more, ..self.error(401, &path) };
        }
        match path.to_ascii_lowercase().as_str() {
            "/" | "/index.html" | "/index.htm" | "/default.htm" | "/default.asp" => {
                let written_s = site.moment_before("index page", now_s, 900);
                if request
                    .since
                    .as_deref()
                    .is_some_and(|since| since.starts_with(Date::of(written_s).http().as_bytes()))
                {
                    return Answer { status: 304, kind: "", body: Vec::new(), more: String::new() };
                }
                let body = index(site, written_s);
                let tag = self.face.tag(site, written_s, body.len());
                let more = format!(
                    "Last-Modified: {}\r\nETag: \"{tag}\"\r\nAccept-Ranges: bytes\r\n",
                    Date::of(written_s).http()
                );
                Answer { status: 200, kind: "text/html", body: body.into_bytes(), more }
            }
            "/robots.txt" => Answer {
                status: 200,
                kind: "text/plain",
                body: format!(
                    "User-agent: *\nDisallow: /{}/\n",
                    site.choose("hidden folder", &["private", "stats", "old", "cgi-bin", "intern"])
                )
                .into_bytes(),
                more: "Accept-Ranges: bytes\r\n".into(),
            },
            _ => self.error(404, &path),
        }
    }

    fn realm(&self, turn: &Turn<'_>) -> String {
        let serial: [u8; 4] = turn.site.bytes("serial");
        let serial = hex(&serial).to_uppercase();
        format!("{}-{serial}", turn.site.choose("model", &["IPCamera", "DVR", "NetCam", "Router", "Gateway"]))
    }

    /// The page of an error, as the server of this face writes it.
    fn error(&self, status: u16, path: &str) -> Answer {
        let reason = reason(status);
        let path = escaped(path);
        let body = match self.face {
            Face::Iis4 => match status {
                404 => "<body><h1>HTTP/1.1 404 Object Not Found</h1></body>".into(),
                _ => format!("<html><head><title>Error</title></head><body>{reason}.</body></html>"),
            },
            Face::Iis5 => {
                format!("<html><head><title>Error</title></head><body>{status} {reason}. </body></html>")
            }
            Face::Iis10 => format!(
                "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\"http://www.w3.org/TR/html4/strict.dtd\">\r\n<HTML><HEAD><TITLE>{reason}</TITLE>\r\n<META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n<BODY><h2>{reason}</h2>\r\n<hr><p>HTTP Error {status}. {}</p>\r\n</BODY></HTML>\r\n",
                if status == 404 {
                    "The requested resource is not found."
                } else {
                    "The request is badly formed."
                }
            ),
            Face::Apache13 => {
                let what = match status {
                    404 => format!("The requested URL {path} was not found on this server.<P>"),
                    501 => format!("method to {path} not supported.<P>\nInvalid method in request<P>"),
                    _ => "Your browser sent a request that this server could not understand.<P>".into(),
                };
                format!(
                    "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<HTML><HEAD>\n<TITLE>{status} {reason}</TITLE>\n</HEAD><BODY>\n<H1>{reason}</H1>\n{what}\n<HR>\n<ADDRESS>Apache/1.3.23 Server</ADDRESS>\n</BODY></HTML>\n"
                )
            }
            Face::Nginx => format!(
                "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
            ),
            Face::GoAhead => format!(
                "<html><head><title>Document Error: {reason}</title></head>\r\n\t\t<body><h2>Access Error: {reason}</h2>\r\n\t\t<p>Access to this document requires a User ID</p></body></html>\r\n"
            ),
        };
        Answer { status, kind: "text/html", body: body.into_bytes(), more: String::new() }
    }

    fn write(&mut self, request: &Request, answer: Answer, keep: bool, turn: &mut Turn<'_>) {
        let keep = keep && (answer.status < 400 || answer.status == 404);
        let date = Date::at(turn.now).http();
        let (server, version) = match self.face {
            Face::Iis4 => ("Microsoft-IIS/4.0", "1.1"),
            Face::Iis5 => ("Microsoft-IIS/5.0", "1.1"),
            Face::Iis10 => ("Microsoft-IIS/10.0", "1.1"),
            Face::Apache13 => (
                "Apache/1.3.23 (Unix)  (Red-Hat/Linux) mod_ssl/2.8.7 OpenSSL/0.9.6b DAV/1.0.3 PHP/4.1.2 mod_perl/1.26",
                "1.1",
            ),
            Face::Nginx => ("nginx/1.22.1", "1.1"),
            Face::GoAhead => ("GoAhead-Webs", "1.0"),
        };
        let reason = if self.face == Face::Iis4 && answer.status == 404 {
            "Object Not Found"
        } else {
            reason(answer.status)
        };
        let mut head = format!("HTTP/{version} {} {reason}\r\n", answer.status);
        let microsoft = matches!(self.face, Face::Iis4 | Face::Iis5);
        head += &if self.face == Face::Apache13 {
            format!("Date: {date}\r\nServer: {server}\r\n")
        } else {
            format!("Server: {server}\r\nDate: {date}\r\n")
        };
        if self.face == Face::Iis4 && !keep {
            head += "Connection: close\r\n";
        }
        let kind = if answer.kind == "text/html" && self.face == Face::Apache13 && answer.status >= 400 {
            "text/html; charset=iso-8859-1"
        } else {
            answer.kind
        };
        if !kind.is_empty() {
            head += &format!("Content-Type: {kind}\r\n");
        }
        if answer.status != 304 {
            head += &format!("Content-Length: {}\r\n", answer.body.len());
        }
        head += &answer.more;
        if !microsoft {
            head += if keep { "Connection: keep-alive\r\n" } else { "Connection: close\r\n" };
        }
        head += "\r\n";
        turn.say(head);
        if request.method != b"HEAD" {
            turn.say(&answer.body);
        }
        if !keep {
            turn.close();
            self.closed = true;
        }
    }
}

impl Service for Http {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                // What comes after the last answer is kept for the record.
                let room = if self.closed { RECORDED.saturating_sub(self.begun.len()) } else { bytes.len() };
                self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.requests(turn);
            }
            Event::Ended => turn.close(),
            Event::Gone => {
                if let Some((request, length, kept, _)) = self.body.take() {
                    self.note(&request, &kept, turn);
                    if !kept.is_empty() {
                        turn.keep(&request.target, length, kept);
                    }
                } else if !self.begun.is_empty() {
                    turn.bytes(&self.begun);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.begun.len()
            + self.body.as_ref().map_or(0, |(request, _, kept, _)| request.head.len() + kept.len())
    }
}

impl Request {
    /// Reads a head; nothing where it is none.
    fn read(head: &[u8]) -> Option<Request> {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut words = lines.next()?.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let (method, target) = (words.next()?.to_vec(), words.next()?.to_vec());
        let version = words.next().unwrap_or(b"HTTP/0.9").to_vec();
        let sensible = method.iter().all(u8::is_ascii_uppercase)
            && version.starts_with(b"HTTP/")
            && words.next().is_none();
        if !sensible {
            return None;
        }
        let mut request = Request { head: head.to_vec(), method, target, version, ..Request::default() };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let value = line[colon + 1..].trim_ascii();
            match line[..colon].to_ascii_lowercase().as_slice() {
                b"host" => request.host = true,
                b"connection" | b"proxy-connection" => {
                    request.close = value.eq_ignore_ascii_case(b"close");
                    request.keep_alive = value.eq_ignore_ascii_case(b"keep-alive");
                }
                b"content-length" => request.length = std::str::from_utf8(value).ok()?.parse().ok()?,
                b"transfer-encoding" => request.chunked = true,
                b"authorization" => request.authorization = Some(value.to_vec()),
                b"if-modified-since" => request.since = Some(value.to_vec()),
                b"expect" => request.expects = value.eq_ignore_ascii_case(b"100-continue"),
                _ => {}
            }
        }
        Some(request)
    }
}

/// Where a head ends: after its empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let searched = &bytes[..bytes.len().min(HEAD)];
    let long = searched.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let short = searched.windows(2).position(|window| window == b"\n\n").map(|at| at + 2);
    [long, short].into_iter().flatten().min()
}

/// Whether a first line is a request of HTTP/0.9, which has no head.
fn is_simple(line: &[u8]) -> bool {
    let mut words = line.trim_ascii().split(|byte| *byte == b' ');
    words.next() == Some(b"GET")
        && words.next().is_some_and(|target| target.starts_with(b"/"))
        && words.next().is_none()
}

/// Name and password of a basic authorization (RFC 7617).
fn basic(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    use base64::Engine as _;
    let (scheme, encoded) = value.split_at_checked(6)?;
    let pair = base64::engine::general_purpose::STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| (pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Not Allowed",
        501 => "Method Not Implemented",
        _ => "Internal Server Error",
    }
}

fn escaped(text: &str) -> String {
    text.chars()
        .take(512)
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() => String::new(),
            c => c.to_string(),
        })
        .collect()
}

/// The front page: a small company's, of which no two are alike.
fn index(site: &crate::site::Site, written_s: i64) -> String {
    let company = site.company();
    let year = Date::of(written_s).year;
    let colour = site.draw("colour").below(0x80_8080) + 0x40_4040;
    let sections = [
        "About us",
        "Products",
        "News",
        "Contact",
        "Service",
        "Jobs",
        "Partners",
        "Directions",
        "Downloads",
        "Customers",
    ];
    let mut items = String::new();
    for place in 0..3 + site.draw("sections").below(4) {
        let section = site.choose(&format!("section {place}"), &sections);
        items += &format!("<li>{section}</li>\n");
    }
    let town = site.choose(
        "town",
        &["Springfield", "Ashford", "Lyon", "Graz", "Leeds", "Porto", "Gdansk", "Malmo", "Ghent", "Turin"],
    );
    let phone = site.draw("phone").below(9_000_000) + 1_000_000;
    format!(
        "<html>\n<head><title>{company}</title></head>\n<body bgcolor=\"#ffffff\" text=\"#{colour:06x}\">\n<h1>{company}</h1>\n<p>Welcome to our site. It is being rebuilt; please call us in the meantime.</p>\n<ul>\n{items}</ul>\n<p>{town}, telephone {phone}</p>\n<hr>\n<address>&copy; {year} {company}, webmaster@{company}.com</address>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_entity_tags_of_its_own_form() {
        let site = Site::new(1, "tags");
        // 2026-02-24T20:00:01Z, 429 bytes.
        let tag = |face: Face| face.tag(&site, 1_771_963_201, 429);
        assert_eq!(tag(Face::Nginx), "699e0341-1ad");
        assert!(tag(Face::Apache13).ends_with("-1ad-699e0341"), "{}", tag(Face::Apache13));
        let iis = tag(Face::Iis10);
        assert!(iis.ends_with("dc1:0"), "{iis}: the years from 2022 on end in dc 01");
    }
}

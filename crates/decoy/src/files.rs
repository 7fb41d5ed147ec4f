//! A small tree of files that derives from the seed, with what a visitor adds and takes away for as long as it stays.

use std::collections::BTreeMap;

use crate::limits::{self, UPLOAD};
use crate::site::Site;

/// A directory or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whether it is a directory.
    pub directory: bool,
    /// Its content; of directories nothing.
    pub content: Vec<u8>,
    /// Its length in bytes, which may be more than what is kept.
    pub bytes: u64,
    /// When it was written, in seconds since 1970.
    pub written_s: i64,
}

/// A tree, by whole path; `/` is its root.
#[derive(Clone, Debug)]
pub struct Files {
    nodes: BTreeMap<Vec<u8>, Node>,
    kept: usize,
}

/// Files and directories of one visit.
const NODES: usize = 512;

impl Files {
    /// The tree of a host as it is at `now_s`, seconds since 1970.
    pub fn new(site: &Site, now_s: i64) -> Self {
        let mut files = Files { nodes: BTreeMap::new(), kept: 0 };
        let company = site.company();
        let mut add = |path: &str, content: Option<String>| {
            let written_s = site.moment_before(path, now_s, 700);
            let directory = content.is_none();
            let content = content.unwrap_or_default().into_bytes();
            let bytes = content.len() as u64;
            files.nodes.insert(path.as_bytes().to_vec(), Node { directory, content, bytes, written_s });
        };
        add("/", None);
        add("/pub", None);
        add("/incoming", None);
        add("/pub/README", Some(format!("Files of {company}. Questions to webmaster@{company}.\r\n")));
        let topics = [
            "pricelist",
            "catalogue",
            "manual",
            "orders",
            "drivers",
            "forms",
            "minutes",
            "staff",
            "inventory",
            "schedule",
        ];
        let endings = ["txt", "csv", "doc", "old", "bak"];
        for place in 0..3 + site.draw("number of files").below(5) {
            let name = format!(
                "/pub/{}-{}.{}",
                site.choose(&format!("topic {place}"), &topics),
                site.draw(&format!("number {place}")).below(90) + 10,
                site.choose(&format!("ending {place}"), &endings)
            );
            let mut random = site.draw(&name);
            let lines = 4 + random.below(40);
            let text: String = (0..lines)
                .map(|i| format!("{i};{};{}\r\n", random.below(9_000), random.below(900)))
                .collect();
            add(&name, Some(text));
        }
        files
    }

    /// What is at a whole path.
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Bytes that visitors put there.
    pub fn held(&self) -> usize {
        self.kept
    }

    /// Names and nodes in a directory.
    pub fn list<'a>(&'a self, directory: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Node)> {
        let prefix = if directory == b"/" { &b""[..] } else { directory };
        self.nodes.iter().filter_map(move |(path, node)| {
            let name = path.strip_prefix(prefix)?.strip_prefix(b"/")?;
            (!name.is_empty() && !name.contains(&b'/')).then_some((name, node))
        })
    }

    /// Puts a file or a directory there, where its parent is; false where there is no room or no parent.
    pub fn put(&mut self, path: &[u8], node: Node) -> bool {
        let parent = self.nodes.get(parent(path)).is_some_and(|node| node.directory);
        if !parent
            || self.nodes.len() >= NODES
            || self.kept + node.content.len() > UPLOAD
            || path.len() > limits::LINE
        {
            return false;
        }
        self.kept += node.content.len();
        self.nodes.insert(path.to_vec(), node);
        true
    }

    /// Takes away what is there, and everything below it.
    pub fn remove(&mut self, path: &[u8]) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        let below = [path, b"/"].concat();
        self.nodes.retain(|other, _| !other.starts_with(&below));
        Some(node)
    }
}

/// The directory that a path lies in.
pub fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => b"/",
        Some(end) => &path[..end],
    }
}

/// The whole path of what a visitor in `directory` calls `name`; `..` leads no higher than the root.
pub fn resolved(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let whole = if name.starts_with(b"/") { name.to_vec() } else { [directory, b"/", name].concat() };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in whole.split(|byte| *byte == b'/' || *byte == b'\\') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return b"/".to_vec();
    }
    parts.iter().flat_map(|part| [b"/", *part].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_leave_the_root() {
        assert_eq!(resolved(b"/pub", b"../../../etc/passwd"), b"/etc/passwd");
        assert_eq!(resolved(b"/pub", b"."), b"/pub");
        assert_eq!(resolved(b"/pub", b"/"), b"/");
        assert_eq!(resolved(b"/", b"..\\..\\winnt"), b"/winnt");
        assert_eq!((parent(b"/a/b"), parent(b"/a")), (&b"/a"[..], &b"/"[..]));
    }

    #[test]
    fn a_visitor_sees_what_it_left() {
        let mut files = Files::new(&Site::new(1, "p"), 1_000_000_000);
        let node = Node { directory: false, content: b"x".to_vec(), bytes: 1, written_s: 0 };
        assert!(files.put(b"/incoming/a", node.clone()) && !files.put(b"/nowhere/a", node.clone()));
        assert_eq!(files.list(b"/incoming").collect::<Vec<_>>(), [(&b"a"[..], &node)]);
        assert_eq!(files.list(b"/").map(|(name, _)| name).collect::<Vec<_>>(), [&b"incoming"[..], b"pub"]);
        assert!(files.remove(b"/incoming").is_some() && files.get(b"/incoming/a").is_none());
    }
}

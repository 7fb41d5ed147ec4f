//! What stands beside every answer.

use super::{AskError, Session};
use crate::answer::{About, AboutCapture, AboutPlatform, Value};

impl Session {
    /// What stands beside every answer: platforms, captures and their losses, rule, span, filter.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn about(&self) -> Result<About, AskError> {
        let day = trapline_store::convert::day_text;
        let span = &self.ask.span;
        let limited = span.from.is_some() || span.to.is_some();
        let edge = |d: Option<i32>| d.map(day).unwrap_or_default();
        Ok(About {
            rule: self.ask.rule.name().into(),
            span: limited.then(|| (edge(span.from), edge(span.to))),
            filter: self.ask.filter.clone(),
            platforms: self.platforms().await?,
            over_limit: self.over_limit().await?,
            captures: self.captures().await?,
            ..About::default()
        })
    }

    async fn over_limit(&self) -> Result<i64, AskError> {
        let rows = self.values("select coalesce(sum(over_limit), 0) from stored_commits").await?;
        Ok(rows.first().map_or(0, |row| row[0].int()))
    }

    async fn platforms(&self) -> Result<Vec<AboutPlatform>, AskError> {
        let mut platforms: Vec<AboutPlatform> = Vec::new();
        let rows = self
            .values(
                "select platform, host, address, inferred from hosts order by platform, position, address",
            )
            .await?;
        for row in rows {
            let [platform, host, address] = [row[0].text(), row[1].text(), row[2].text()];
            if platforms.last().is_none_or(|p| p.name != platform) {
                let inferred = row[3] == Value::Bool(true);
                platforms.push(AboutPlatform { name: platform, hosts: Vec::new(), inferred });
            }
            let hosts = &mut platforms.last_mut().expect("pushed above").hosts;
            match hosts.last_mut().filter(|(name, _)| *name == host) {
                Some((_, addresses)) => addresses.push(address),
                None => hosts.push((host, vec![address])),
            }
        }
        Ok(platforms)
    }

    async fn captures(&self) -> Result<Vec<AboutCapture>, AskError> {
        const COUNTS: [&str; 12] = [
            "internal",
            "broadcast",
            "elsewhere",
            "arp",
            "neighbour_discovery",
            "not_ip",
            "unreadable",
            "unknown_link",
            "later_fragments",
            "too_short",
            "simple",
            "bad_time",
        ];
        let sql = format!(
            "select platform, name, hash, bytes, packets, first_seen, last_seen, damage, {} from captures order by first_seen, hash",
            COUNTS.join(", ")
        );
        let rows = self.values(&sql).await?;
        let one = |row: Vec<Value>| AboutCapture {
            name: row[1].text(),
            hash: row[2].text(),
            bytes: row[3].int(),
            packets: row[4].int(),
            first: row[5].text(),
            last: row[6].text(),
            damage: Some(row[7].text()).filter(|d| !d.is_empty()),
            losses: COUNTS
                .iter()
                .zip(&row[8..])
                .map(|(name, n)| (name.replace('_', " "), n.int()))
                .filter(|(_, n)| *n > 0)
                .collect(),
        };
        Ok(rows.into_iter().map(one).collect())
    }
}

//! The platform file that belongs to a simulation: what the hosts were and what was opened when.

use std::fmt::Write;

use crate::scenario::Scenario;
use crate::target::Target;

/// The text of `platform.toml`. Every host has an `open` key: what was open is known, not observed.
pub(crate) fn text(scenario: &Scenario) -> String {
    let mut out = format!("# The platform of the simulated scenario {}.\n\n[platform]\n", scenario.name);
    let mut line = |key: &str, value: toml::Value| {
        let _ = writeln!(out, "{key} = {value}");
    };
    line("name", scenario.platform.name.as_str().into());
    if let Some(country) = &scenario.platform.country {
        line("country", country.as_str().into());
    }
    for host in &scenario.host {
        let addresses: Vec<toml::Value> = host.addresses.iter().map(|a| a.to_string().into()).collect();
        out.push_str("\n[[host]]\n");
        let _ = writeln!(out, "name = {}", toml::Value::from(host.name.as_str()));
        let _ = writeln!(out, "addresses = {}", toml::Value::Array(addresses));
        let _ = writeln!(out, "persona = {}", toml::Value::from(host.persona.as_str()));
        let _ = writeln!(out, "open = {}", ports(&host.open));
    }
    for change in &scenario.change {
        let _ = write!(
            out,
            "\n[[change]]\nat = {}\nhost = {}\n",
            change.at,
            toml::Value::from(change.host.as_str())
        );
        for (key, targets) in [("open", &change.open), ("close", &change.close)] {
            if !targets.is_empty() {
                let _ = writeln!(out, "{key} = {}", ports(targets));
            }
        }
    }
    out
}

fn ports(targets: &[Target]) -> toml::Value {
    toml::Value::Array(targets.iter().map(|t| t.with_protocol().into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back() {
        let text = text(&Scenario::load("paper2003").unwrap());
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["host"].as_array().unwrap().len(), 3);
        assert!(text.contains("at = 2003-10-15T00:00:00Z"), "{text}");
        assert!(text.contains("\"54321/tcp\""), "{text}");
    }
}

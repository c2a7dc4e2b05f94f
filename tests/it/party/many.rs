//! Stars of thousands.

use super::rig::Star;
use std::fmt::Write;

/// A command that looked through all for each of all, and that for each again, would be at it for
/// hours.
#[test]
fn a_list_of_thousands_is_read_once() {
    const PARTIES: usize = 4000;
    let star = Star::new();
    star.ca.ok(&["issue", "pulsar", "9998"]);
    let index = star.ca.read("pki/index.jsonl");
    let serial = star.ca.serials().remove(0);
    let mut lines: Vec<&str> = index.lines().collect();
    let ends = lines.split_off(lines.len() - 2);
    let (mut many, mut table) = (lines.join("\n") + "\n", String::from("sni:\n"));
    for party in 0..PARTIES {
        let number = format!("{party:032x}");
        for line in &ends {
            let line = line.replace(&serial, &number);
            many += &line.replace("9998.fate.org", &format!("p{party}.fate.org"));
            many.push('\n');
        }
        let name = format!("p{party}.fate.org");
        let _ = writeln!(table, "  - fqdn: {name}\n    tunnel_route: h:{}", 1 + party);
    }
    star.ca.dir.write("pki/index.jsonl", many);
    star.write(&table);
    let said = star.ok(&["list", "--format", "json"]);
    let body: serde_json::Value = serde_json::from_str(&said).unwrap();
    let parties = body["parties"].as_array().unwrap();
    assert_eq!(parties.len(), PARTIES);
    assert!(parties.iter().all(|party| party["days_left"].is_i64()));
}

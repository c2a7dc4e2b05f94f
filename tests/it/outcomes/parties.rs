//! The record says which party called, where its source address tells.

use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};

#[test]
fn a_source_that_one_route_lists_is_named_in_the_record() {
    let a = Party::start(b'a');
    let caller = "- fqdn: caller.example\n  tunnel_route: 192.0.2.1:1\n";
    let entry = |sources: &str| {
        format!(
            "sni:\n{}{caller}  sources: {sources}\n",
            a.entry("a.example")
        )
    };
    // Without it the party's own address would be that of its target, 127.0.0.1, too.
    let own = "  sources: 192.0.2.9\n";
    for (sources, party) in [("127.0.0.0/8", Some("caller.example")), ("192.0.2.1", None)] {
        let routes = entry(sources).replace(caller, &format!("{own}{caller}"));
        let hub = Hub::start(Options::routes(routes));
        drop(Link::open(hub.addr(), "a.example", a).unwrap());
        assert_eq!(hub.closed("a.example")["party"].as_str(), party);
    }
}

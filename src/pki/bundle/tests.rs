//! What an order takes, and what comes of it.

use super::*;
use std::collections::BTreeSet;

const HOUR: Duration = Duration::from_secs(3600);

fn order(layout: Layout, names: &[&str], domain: Option<&str>) -> Result<Order, PkiError> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let wish = Wish {
        names: &names,
        domain,
        organization: layout.spec().organization.then_some("Org1MSP"),
        key: Some(if layout == Layout::Pulsar {
            KeyKind::Rsa2048
        } else {
            KeyKind::P256
        }),
    };
    Order::new(layout, &wish, HOUR)
}

#[test]
fn a_party_is_completed_by_its_domain_and_nothing_else_is() {
    let names = |layout, names: &[&str]| {
        let order = order(layout, names, Some("fate.org")).unwrap();
        order
            .names()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(Layout::Pulsar, &["9998", "b1"]),
        ["9998.fate.org", "b1"]
    );
    assert_eq!(
        names(Layout::Eggroll, &["9998.other.org"]),
        ["9998.other.org"]
    );
    assert_eq!(names(Layout::Hub, &["hub"]), ["hub"]);
    // The same name twice is one.
    assert_eq!(names(Layout::Hub, &["a.org", "A.org."]), ["a.org"]);
    assert!(order(Layout::Pulsar, &["9998"], None).is_err());
}

#[test]
fn every_layout_is_made_in_memory_with_numbers_of_its_own() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    for layout in Layout::ALL {
        let names: &[&str] = if layout == Layout::Podvm {
            &[]
        } else {
            &["a.fate.org"]
        };
        let bundle = order(layout, names, None)
            .unwrap()
            .make(&authority, Serial::random)
            .unwrap();
        let spec = layout.spec();
        assert_eq!(bundle.certificates.len(), spec.leaves.len());
        let serials: BTreeSet<_> = bundle.certificates.iter().map(|c| c.serial).collect();
        assert_eq!(serials.len(), spec.leaves.len());
        let files: Vec<_> = bundle.files.iter().map(|file| file.name).collect();
        assert_eq!(
            files,
            spec.files.iter().map(|file| file.name).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_bundles_debug_output_has_no_key() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let order = order(Layout::Hub, &["a.org"], None).unwrap();
    let bundle = order.make(&authority, Serial::random).unwrap();
    assert!(!format!("{bundle:?} {authority:?}").contains("PRIVATE KEY"));
}

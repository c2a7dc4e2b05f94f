//! The committed conformance cases and captures.

use std::fs;
use std::path::PathBuf;

/// A case of `client_hello.tsv`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) want: String,
    pub(crate) bytes: Vec<u8>,
}

/// A file of `captures/`.
pub(crate) struct Capture {
    pub(crate) file: String,
    /// `index.tsv`'s name as it is on the wire; `None`: not listed there, or listed as `-`.
    pub(crate) sni: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

fn conformance() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance")
}

pub(crate) fn cases() -> Vec<Case> {
    let text = fs::read_to_string(conformance().join("client_hello.tsv")).unwrap();
    let cases: Vec<Case> = text
        .lines()
        .skip(1)
        .map(|line| {
            let [name, want, hex] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("client_hello.tsv: three columns wanted: {line:.60}");
            };
            Case {
                name: name.into(),
                want: want.into(),
                bytes: unhex(hex),
            }
        })
        .collect();
    assert_eq!(cases.len(), 58, "cases in client_hello.tsv");
    cases
}

/// The captures with this ending (`bin`, `notls`, `flight`), sorted by name.
pub(crate) fn captures(ending: &str) -> Vec<Capture> {
    let folder = conformance().join("captures");
    let index = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let mut captures: Vec<Capture> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let row = index.lines().map(|l| l.split('\t').collect::<Vec<_>>());
            let row = row.into_iter().find(|row| row[0] == file);
            let sni = row.map(|row| row[2].to_owned()).filter(|sni| sni != "-");
            Capture {
                file,
                sni,
                bytes: fs::read(path).unwrap(),
            }
        })
        .collect();
    captures.sort_by(|a, b| a.file.cmp(&b.file));
    let want = match ending {
        "bin" => 37,
        "notls" => 4,
        "flight" => 1,
        _ => panic!("no captures end in {ending}"),
    };
    assert_eq!(captures.len(), want, "captures ending in {ending}");
    captures
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd hex");
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

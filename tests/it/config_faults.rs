//! Whatever state the files are in, loading neither panics nor hangs nor makes a table out of
//! something else than what stands in them.

use crate::support::broken::GOOD;
use crate::support::dir::TempDir;
use snihub::config::{self, Load, Sources};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn load(routes: &Path) -> Load {
    let home = routes.join("no such home");
    let sources = Sources {
        routes: Some(routes.to_owned()),
        ..Sources::default()
    };
    config::load_from(&sources, &home)
}

fn entries(load: &Load) -> Vec<(String, String)> {
    let routes = &load.loaded.as_ref().expect("a table").routes;
    let route = |route: &snihub::route::Route| {
        (
            route.pattern().to_string(),
            route.target().map(ToString::to_string).unwrap_or_default(),
        )
    };
    routes.entries().map(|(_, each)| route(each)).collect()
}

#[test]
fn two_lines_of_fates_guide_are_a_table() {
    let dir = TempDir::new();
    let load = load(&dir.write("sni.yaml", GOOD));
    assert_eq!(load.problems, []);
    let wanted = ("10000.fate.org".to_owned(), "192.168.0.2:6651".to_owned());
    assert_eq!(entries(&load), [wanted]);
}

#[test]
fn what_is_no_readable_file_is_told_and_never_waited_for() {
    let dir = TempDir::new();
    assert!(
        Command::new("mkfifo")
            .arg(dir.path().join("fifo"))
            .status()
            .expect("mkfifo")
            .success()
    );
    let long = dir.write("long", "");
    std::fs::File::options()
        .write(true)
        .open(&long)
        .and_then(|file| file.set_len((64 << 20) + 1))
        .expect("a sparse file");
    for (name, text) in [
        ("nowhere", "there is no such file"),
        ("fifo", "is a FIFO"),
        ("/dev/zero", "is a device"),
        ("long", "at most 67108864 are read"),
    ] {
        let load = load(&dir.path().join(name));
        let problem = load.problems[0].to_string();
        assert!(load.loaded.is_none() && problem.contains(text), "{problem}");
    }
    let load = load(&dir.path().join("nothing here/sni.yaml"));
    assert!(load.loaded.is_none());
}

#[test]
fn hub_yaml_that_is_named_must_be_there_and_a_file() {
    let dir = TempDir::new();
    let routes = Some(dir.write("sni.yaml", GOOD));
    let large = dir.write("large.yaml", "");
    // One byte above the bound, 1 MiB.
    std::fs::File::options()
        .write(true)
        .open(&large)
        .and_then(|file| file.set_len((1 << 20) + 1))
        .expect("a sparse file");
    for (config, text) in [
        ("nowhere", "No such file"),
        (".", "is a directory"),
        ("large.yaml", "has 1048577 bytes; at most 1048576 are read"),
    ] {
        let config = Some(dir.path().join(config));
        // What the routes would be without it is nobody's question.
        for routes in [&routes, &None] {
            let sources = Sources {
                config: config.clone(),
                routes: routes.clone(),
                ..Sources::default()
            };
            let load = config::load_from(&sources, &dir.path().join("no such home"));
            assert!(load.loaded.is_none() && load.errors == 1);
            assert!(load.problems[0].text.contains(text), "{:?}", load.problems);
        }
    }
    // With 1 MiB it is read.
    let mut full = vec![b' '; 1 << 20];
    full[..2].copy_from_slice(b"#\n");
    let config = Some(dir.write("full.yaml", full));
    let load = config::load(&Sources {
        config,
        routes,
        ..Sources::default()
    });
    assert_eq!(load.problems, []);
}

#[test]
fn a_hub_yaml_that_breaks_off_says_nothing_of_other_routes() {
    let dir = TempDir::new();
    let config = Some(dir.write("hub.yaml", "listen: [443\nroutes: tables/\n"));
    let sources = Sources {
        config,
        ..Sources::default()
    };
    let load = config::load_from(&sources, &dir.path().join("no such home"));
    assert!(load.loaded.is_none() && load.errors > 0);
    assert!(
        load.problems.iter().all(|p| p.file.ends_with("hub.yaml")),
        "{:?}",
        load.problems
    );
}

#[test]
fn the_number_of_mistakes_that_are_not_shown_comes_last() {
    let dir = TempDir::new();
    let routes = dir.write("sni.yaml", format!("sni:\n{}", "- x\n".repeat(1_007)));
    let load = load(&routes);
    assert_eq!((load.errors, load.problems.len()), (1_007, 1_001));
    let last = load.problems.last().map(ToString::to_string);
    let wanted = format!(
        "{}: 7 more errors in this file are not shown (1007 in all)",
        routes.display()
    );
    assert_eq!(last, Some(wanted));
}

#[test]
fn a_file_without_permission_is_77() {
    let dir = TempDir::new();
    let path = dir.write("sni.yaml", GOOD);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("chmod");
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["check", "--routes"])
        .arg(&path)
        .output()
        .expect("snihub runs");
    // Root reads everything.
    let wanted = if std::fs::read(&path).is_ok() { 0 } else { 77 };
    assert_eq!(output.status.code(), Some(wanted));
}

#[test]
fn a_file_cut_anywhere_is_refused_or_holds_a_prefix() {
    let sample = "# parties\r\nsni:\n- fqdn: 10000.fate.org\n  tunnel_route: 192.168.0.2:6651\n\
                  - {fqdn: 'b*.org', tunnel_route: \"h$1.x:80\"}\n- fqdn: \"caf\u{e9}\"\n  \
                  ip_allow: [10.0.0.1,\n    10.0.0.2]\n  tunnel_route: h:443\n";
    let dir = TempDir::new();
    let whole = entries(&load(&dir.write("sni.yaml", sample)));
    assert_eq!(whole.len(), 3);
    let (mut refused, mut taken) = (0, 0);
    for cut in 0..sample.len() {
        let load = load(&dir.write("sni.yaml", &sample.as_bytes()[..cut]));
        if load.loaded.is_none() {
            assert!(load.errors > 0, "cut at {cut}");
            refused += 1;
            continue;
        }
        taken += 1;
        let seen = entries(&load);
        let Some(((name, target), before)) = seen.split_last() else {
            continue;
        };
        assert_eq!(before, &whole[..before.len()], "cut at {cut}");
        let last = &whole[before.len()];
        assert!(last.0.starts_with(name.as_str()), "cut at {cut}: {name}");
        assert!(
            last.1.starts_with(target.as_str()),
            "cut at {cut}: {target}"
        );
    }
    assert!(
        refused > 50 && taken > 50,
        "{refused} refused, {taken} taken"
    );
}

#[test]
fn nesting_and_aliases_end_early() {
    let dir = TempDir::new();
    for nest in ["[", "- ", "{a: ", "? ", "- - ? - "] {
        let load = load(&dir.write("sni.yaml", nest.repeat((10 << 20) / nest.len())));
        assert!(load.loaded.is_none() && load.errors > 0, "{nest:?}");
    }
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for n in 1..30 {
        let before = n - 1;
        bomb.push_str(&format!("a{n}: &a{n} [*a{before}, *a{before}]\n"));
    }
    bomb.push_str("sni: *a29\n");
    let load = load(&dir.write("sni.yaml", bomb));
    assert!(load.loaded.is_none() && load.problems.iter().any(|p| p.text.contains("an anchor")));
}

#[test]
fn a_byte_order_mark_and_crlf_are_no_fault() {
    let dir = TempDir::new();
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    let load = load(&dir.write("sni.yaml", text));
    assert_eq!((load.problems.len(), entries(&load).len()), (0, 1));
}

#[test]
fn an_empty_table_is_a_warning_and_an_empty_file_an_error() {
    let dir = TempDir::new();
    for text in ["sni:\n", "sni: []\n", "sni: ~\n", "# nobody yet\n", "---\n"] {
        let load = load(&dir.write("sni.yaml", text));
        assert!(
            load.loaded.is_some_and(|loaded| loaded.routes.is_empty()),
            "{text:?}"
        );
        assert!(load.problems[0].text.contains("no routes"), "{text:?}");
    }
    for text in ["", "\n", " \n\t\n", "\u{feff}"] {
        let load = load(&dir.write("sni.yaml", text));
        assert!(load.loaded.is_none() && load.errors == 1, "{text:?}");
    }
}

#[test]
fn of_two_names_in_a_directory_the_one_with_entries_counts() {
    let table = |name: &str| format!("sni:\n- fqdn: {name}\n  tunnel_route: h:1\n");
    let comments = "# stock file\n";
    for (yaml, config, wanted) in [
        (Some(table("y")), None, Ok("y")),
        (None, Some(table("c")), Ok("c")),
        (Some(comments.into()), Some(table("c")), Ok("c")),
        (Some("sni:\n".into()), Some(table("c")), Ok("c")),
        (Some("sni: []\n".into()), Some(table("c")), Ok("c")),
        (Some(table("y")), Some(comments.into()), Ok("y")),
        (
            Some(table("y")),
            Some(table("c")),
            Err("both sni.yaml and sni.config have entries"),
        ),
        (None, None, Err("no sni.yaml nor sni.config")),
        (Some("sni: [\n".into()), Some(table("c")), Err("both")),
        (Some(String::new()), Some(table("c")), Err("both")),
        (Some("{}\n".into()), Some(table("c")), Err("both")),
        (Some(table("y")), Some(String::new()), Err("both")),
    ] {
        let dir = TempDir::new();
        for (name, content) in [("sni.yaml", &yaml), ("sni.config", &config)] {
            if let Some(content) = content {
                dir.write(name, content);
            }
        }
        let load = load(dir.path());
        match wanted {
            Ok(name) => {
                assert_eq!(entries(&load)[0].0, name);
                let file = if name == "y" {
                    "sni.yaml"
                } else {
                    "sni.config"
                };
                assert!(load.loaded.is_some_and(|l| l.routes_file.ends_with(file)));
            }
            Err(text) => assert!(load.problems[0].text.contains(text), "{:?}", load.problems),
        }
        // Both are watched, there or not.
        assert_eq!(
            load.files
                .paths()
                .filter(|path| path.starts_with(dir.path()))
                .count(),
            3
        );
    }
}

#[test]
fn a_broken_file_beside_a_stock_one_of_comments_is_told_and_not_passed_over() {
    for (broken, text) in [
        ("", "the file is empty"),
        ("\n", "the file is empty"),
        ("{}\n", "no key `sni`"),
        (
            "snl:\n- fqdn: a\n  tunnel_route: h:1\n",
            "did you mean sni?",
        ),
        ("sin: []\n", "did you mean sni?"),
        ("foo: 1\n", "no key `sni`"),
        ("- fqdn: a\n", "where `sni:` with a list is expected"),
        ("sni: x\n", "where a list of entries is expected"),
        ("sni: {}\n", "where a list of entries is expected"),
        ("sni:\n- fqdn: a\n  tunnel_route: h:70000\n", "70000"),
        ("sni: [\n", ""),
        ("\u{0}", "a control character"),
    ] {
        for (stock, other) in [("sni.yaml", "sni.config"), ("sni.config", "sni.yaml")] {
            let dir = TempDir::new();
            dir.write(stock, "# ATS's stock file\n# of comments\n");
            dir.write(other, broken);
            let load = load(dir.path());
            let told = load
                .problems
                .iter()
                .any(|p| p.file.ends_with(other) && p.text.contains(text));
            assert!(
                load.loaded.is_none() && load.errors > 0 && told,
                "{other} {broken:?}: {:?}",
                load.problems
            );
        }
    }
}

#[test]
fn listeners_that_can_stand_beside_each_other_are_no_mistake() {
    let dir = TempDir::new();
    let routes = Some(dir.write("sni.yaml", GOOD));
    for listen in [
        "[127.0.0.1:443, 127.0.0.2:443, \"[::1]:443\"]",
        "[0.0.0.0:443, \"[::1]:443\"]",
        "[\":443\", 127.0.0.1:444]",
        "[\":0\", 127.0.0.1:0, 0.0.0.0:0]",
    ] {
        let config = Some(dir.write("hub.yaml", format!("listen: {listen}\n")));
        let routes = routes.clone();
        let load = config::load(&Sources {
            config,
            routes,
            ..Sources::default()
        });
        assert_eq!(load.problems, [], "{listen}");
    }
}

#[test]
fn flags_go_before_hub_yaml_and_its_paths_begin_at_its_directory() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.path().join("tables")).expect("a directory");
    dir.write("tables/a.yaml", GOOD);
    let config = Some(dir.write("hub.yaml", "routes: tables/a.yaml\nlisten: 443\n"));
    let listen = vec!["127.0.0.1:0".to_owned(), "[::1]:8443".to_owned()];
    let load = config::load(&Sources {
        config,
        listen,
        ..Sources::default()
    });
    let loaded = load.loaded.expect("a configuration");
    let listen: Vec<String> = loaded
        .settings
        .listen
        .iter()
        .map(|spec| spec.address.to_string())
        .collect();
    assert_eq!(listen, ["127.0.0.1:0", "[::1]:8443"]);
    assert!(loaded.routes_file.ends_with("tables/a.yaml"));

    let config = Some(dir.path().join("hub.yaml"));
    let listen = vec!["nowhere".to_owned()];
    let load = config::load(&Sources {
        config,
        listen,
        ..Sources::default()
    });
    assert!(
        load.problems[0]
            .to_string()
            .starts_with("--listen: \"nowhere\" is not an address")
    );
}

#[test]
fn addresses_in_a_file_are_part_of_the_configuration() {
    let dir = TempDir::new();
    let entry = |n: u8| format!("- {{fqdn: h{n}, tunnel_route: h:1, ip_allow: '@allow.txt'}}\n");
    let routes = dir.write("sni.yaml", format!("sni:\n{}{}", entry(1), entry(2)));
    dir.write(
        "allow.txt",
        "# a bank\n10.0.0.0/8   # all of it\n\n  192.168.0.1-192.168.0.9\n",
    );
    let mut good = load(&routes);
    let loaded = good.loaded.expect("a table");
    for (_, route) in loaded.routes.entries() {
        let allowed = route.ip_allow().expect("a list");
        assert!(allowed.contains("10.9.9.9".parse().expect("an address")));
        assert!(!allowed.contains("11.9.9.9".parse().expect("an address")));
    }
    assert!(!good.files.changed());
    let before = good.files.loaded_hash();
    assert_eq!(before, good.files.hash_now());

    dir.write("allow.txt", "10.0.0.0/8\n 10.0.0.x # a slip\n");
    assert!(good.files.changed() && good.files.hash_now() != before);
    let bad = load(&routes);
    let problem = bad
        .problems
        .iter()
        .find(|p| p.file.ends_with("allow.txt"))
        .expect("a problem");
    assert_eq!((problem.line, problem.column), (2, 2));
    assert!(bad.loaded.is_none() && bad.files.paths().any(|path| path.ends_with("allow.txt")));
    for empty in ["", "# nobody\n"] {
        dir.write("allow.txt", empty);
        assert!(load(&routes).loaded.is_none());
    }
}

#[test]
fn a_set_of_files_knows_when_one_is_another() {
    let dir = TempDir::new();
    let path = dir.write("sni.yaml", GOOD);
    let mut files = load(&path).files;
    dir.write("sni.yaml", GOOD);
    assert!(!files.changed(), "rewritten with the same bytes");
    dir.write("new", GOOD.replace("6651", "6652"));
    std::fs::rename(dir.path().join("new"), &path).expect("rename");
    assert!(files.changed());
    std::fs::remove_file(&path).expect("remove");
    assert!(files.changed());
    let mut absent = load(&path).files;
    assert!(!absent.changed());
    dir.write("sni.yaml", GOOD);
    assert!(absent.changed());
}

#[test]
fn a_directory_that_comes_back_is_noticed() {
    let dir = TempDir::new();
    let etc = dir.path().join("etc");
    let mut files = load(&etc).files;
    assert!(!files.changed());
    std::fs::create_dir(&etc).expect("a directory");
    assert!(!files.changed(), "still nothing in it");
    dir.write("etc/sni.config", GOOD);
    assert!(files.changed());
}

#[test]
fn a_config_map_is_watched_link_by_link() {
    let dir = TempDir::new();
    let at = |name: &str| dir.path().join(name);
    for generation in ["..1", "..2"] {
        std::fs::create_dir(at(generation)).expect("a directory");
        dir.write(
            &format!("{generation}/sni.yaml"),
            GOOD.replace("6651", &generation[2..]),
        );
    }
    symlink("..1", at("..data")).expect("a link");
    symlink("..data/sni.yaml", at("sni.yaml")).expect("a link");
    let mut files = load(&at("sni.yaml")).files;
    assert!(!files.changed());
    let directories = files.directories();
    assert!(directories.contains(dir.path()) && directories.contains(&at("..1")));
    symlink("..2", at("..data_tmp")).expect("a link");
    std::fs::rename(at("..data_tmp"), at("..data")).expect("rename");
    assert!(files.changed());
}

#[test]
fn a_reload_that_takes_too_much_needs_leave() {
    let dir = TempDir::new();
    let table = |range: std::ops::Range<u32>| {
        let text: String = range
            .map(|n| format!("- {{fqdn: h{n}.org, tunnel_route: h:1}}\n"))
            .collect();
        load(&dir.write("sni.yaml", format!("sni:\n{text}")))
            .loaded
            .expect("a table")
            .routes
    };
    let shrinks = |old: u32, new| config::shrink(&table(0..old), &table(new)).is_some();
    assert!(shrinks(1, 0..0) && shrinks(9, 0..4) && shrinks(9, 5..20));
    assert!(!shrinks(8, 0..4) && !shrinks(10, 0..5) && !shrinks(0, 0..0) && !shrinks(4, 4..5));
}

#[test]
fn bytes_changed_anywhere_make_an_error_or_a_table() {
    let sni = "sni:\n- fqdn: 'a*.org'\n  tunnel_route: $1.h:80\n  ip_allow: \"10.0.0.0/8, ::1\"\n  \
               inbound_port_ranges: [443, 9-10]\n- {fqdn: b, tunnel_route: '[::1]:1', dial_timeout: 1s}\n";
    let hub = "listen:\n- {address: ':443', proxy_protocol: required, trusted: ['::1']}\n\
               connect_ports: 443 1-9\nlimits: {tunnels: 5, hello_memory: 64MiB}\nkeepalive: off\n";
    let dir = TempDir::new();
    // xorshift64: the same run every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let signs = b"\0\t\n\r #'\"&*!|>%@`-?:,[]{}$~\\/0a\x80\xff";
    let sources = Sources {
        routes: Some(dir.write("sni.yaml", sni)),
        config: Some(dir.write("hub.yaml", hub)),
        ..Sources::default()
    };
    assert!(
        config::load(&sources).loaded.is_some(),
        "the sample is right"
    );
    let (mut wrong, mut right) = (0, 0);
    for round in 0..3_000 {
        let mut files = [sni.as_bytes().to_vec(), hub.as_bytes().to_vec()];
        let file = &mut files[round % 2];
        for _ in 0..=next(3) {
            let (at, sign) = (next(file.len()), signs[next(signs.len())]);
            match next(3) {
                0 => file[at] = sign,
                1 => file.insert(at, sign),
                _ => drop(file.remove(at)),
            }
        }
        let (routes, config) = (
            dir.write("sni.yaml", &files[0]),
            dir.write("hub.yaml", &files[1]),
        );
        let sources = Sources {
            routes: Some(routes),
            config: Some(config),
            ..Sources::default()
        };
        let load = config::load(&sources);
        assert_eq!(load.loaded.is_none(), load.errors > 0, "round {round}");
        if load.errors > 0 {
            wrong += 1;
        } else {
            right += 1;
        }
    }
    assert!(wrong > 1_000 && right > 50, "{wrong} wrong, {right} right");
}

#[test]
fn the_keys_of_the_doors_warn_where_they_tell_too_much_or_nothing() {
    let dir = TempDir::new();
    dir.write("sni.yaml", GOOD);
    for (hub, warnings) in [
        (
            "metrics: {routes_on_ops: true}\n",
            &["who talks to whom"][..],
        ),
        (
            "admin_token_file: token\n",
            &["no effect without admin_listen"],
        ),
        (
            "admin_token_file: token\nadmin_listen: \"[::1]:9901\"\n",
            &[],
        ),
        ("admin: off\nadmin_listen: off\nops_listen: off\n", &[]),
    ] {
        let load = config::load(&Sources {
            config: Some(dir.write("hub.yaml", hub)),
            routes: Some(dir.path().join("sni.yaml")),
            ..Sources::default()
        });
        assert_eq!((load.errors, load.warnings), (0, warnings.len()), "{hub}");
        for (problem, text) in load.problems.iter().zip(warnings) {
            assert!(problem.text.contains(text), "{problem}");
        }
        let settings = load.loaded.expect("settings").settings;
        // Paths begin at the file's directory.
        let token = settings.admin_token_file;
        assert!(token.is_none_or(|path| path == dir.path().join("token")));
    }
}

use super::*;

#[test]
fn only_network_urls_are_accepted() {
    for good in [
        "https://example.org/a/b.git",
        "http://127.0.0.1:8080/a",
        "ssh://git@example.org:22/a/b",
        "git://example.org/a",
        "git@example.org:a/b.git",
    ] {
        assert!(good.parse::<RemoteUrl>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "-uhttps://x/y",
        "--upload-pack=x",
        "/etc",
        "../a",
        "file:///etc",
        "ext::sh -c x",
        "ext::sh",
        "https://",
        "ssh://-oProxyCommand=x/a",
        "ssh://-o@host/a",
        "ssh://a:b@host/x",
        "-x@host:path",
        "git@-oProxyCommand:path",
        "git@host:-path",
        "https://example.org/a#main:sub",
        "https://example.org/a b",
        "ssh://git@a';id;'/x",
        "ssh://git@$(id)/x",
        "ssh://git@a%27b/x",
        "ssh://a'b@host/x",
        "git://a`id`/x",
    ] {
        assert!(bad.parse::<RemoteUrl>().is_err(), "{bad}");
    }
}

#[test]
fn credentials_are_separated_from_the_url() {
    let url: RemoteUrl = "https://me:s%2Fcret@example.org:8443/a.git"
        .parse()
        .unwrap();
    assert_eq!(url.as_str(), "https://example.org:8443/a.git");
    assert!(!format!("{url:?} {url}").contains("cret"));
    let (key, value) = url.login_setting().unwrap();
    assert_eq!(key, "http.https://example.org:8443/.extraHeader");
    assert_eq!(
        value,
        format!("Authorization: Basic {}", STANDARD.encode("me:s/cret"))
    );
    let plain: RemoteUrl = "https://example.org/a.git".parse().unwrap();
    assert!(plain.login_setting().is_none());
}

#[test]
fn a_submodule_keeps_credentials_only_on_the_same_server() {
    let outer = "https://git.example/acme/app.git";
    let outer = outer.parse::<RemoteUrl>().unwrap().with_login("me", "pw");
    for (text, joined, has_login) in [
        ("../lib.git", "https://git.example/acme/lib.git", true),
        (
            "./lib.git",
            "https://git.example/acme/app.git/lib.git",
            true,
        ),
        ("../../x/lib", "https://git.example/x/lib", true),
        ("https://git.example/y", "https://git.example/y", true),
        (
            "https://git.example:444/y",
            "https://git.example:444/y",
            false,
        ),
        ("http://git.example/y", "http://git.example/y", false),
        ("https://evil.example/y", "https://evil.example/y", false),
    ] {
        let found = outer.join(text).unwrap();
        assert_eq!(found.as_str(), joined);
        assert_eq!(found.login_setting().is_some(), has_login, "{text}");
    }
    for bad in [
        "../../../evil.example/x",
        "../../../../../x",
        "file:///etc",
        "/etc",
        "lib",
        "ext::sh",
        "..",
    ] {
        assert!(outer.join(bad).is_err(), "{bad}");
    }
    let key = || DeployKey {
        private: "secret".to_owned(),
        known_hosts: None,
    };
    let outer: RemoteUrl = "git@git.example:acme/app.git".parse().unwrap();
    let outer = outer.with_key(key());
    for (text, joined, has_key) in [
        ("../lib.git", "git@git.example:acme/lib.git", true),
        ("../../lib.git", "git@git.example:lib.git", true),
        ("ssh://git@GIT.example/y", "ssh://git@GIT.example/y", true),
        (
            "ssh://git@git.example:2222/y",
            "ssh://git@git.example:2222/y",
            false,
        ),
        ("git@evil.example:y", "git@evil.example:y", false),
    ] {
        let found = outer.join(text).unwrap();
        assert_eq!(found.as_str(), joined);
        let is_key = matches!(found.identity(), Some(Identity::Key(_)));
        assert_eq!(is_key, has_key, "{text}");
        assert!(!found.uses_host_keys());
    }
    let web = outer.join("https://git.example/y").unwrap();
    assert!(web.identity().is_none() && web.login_setting().is_none());
}

#[test]
fn the_keys_of_this_host_are_used_only_if_they_are_enabled() {
    for text in [
        "git@git.example:acme/app.git",
        "ssh://git@git.example:2222/a",
    ] {
        let url: RemoteUrl = text.parse().unwrap();
        assert!(!url.uses_host_keys() && url.clone().with_host_keys().uses_host_keys());
        let key = DeployKey {
            private: "secret".to_owned(),
            known_hosts: None,
        };
        let url = url.with_key(key).with_host_keys();
        assert!(!url.uses_host_keys());
    }
    let outer: RemoteUrl = "git@git.example:acme/app.git".parse().unwrap();
    let outer = outer.with_host_keys();
    assert!(outer.join("../lib.git").unwrap().uses_host_keys());
    assert!(
        !outer
            .join("git@evil.example:lib.git")
            .unwrap()
            .uses_host_keys()
    );
    let web: RemoteUrl = "https://git.example/y".parse().unwrap();
    assert!(!web.with_host_keys().uses_host_keys());
}

#[test]
fn the_server_of_a_url_is_its_host_and_port() {
    for (text, host, port, authority) in [
        ("https://Git.example/a", "git.example", 443, "git.example"),
        ("http://[::1]:8080/a", "::1", 8080, "[::1]:8080"),
        (
            "ssh://git@[fd00::1]:22/a",
            "fd00::1",
            22,
            "git@[fd00::1]:22",
        ),
        ("git@Git.example:a", "git.example", 22, ""),
        ("git://git.example/a?b", "git.example", 9418, "git.example"),
        ("http://0x7f.1/", "127.0.0.1", 80, "127.0.0.1"),
    ] {
        let url: RemoteUrl = text.parse().unwrap();
        assert_eq!(
            (url.endpoint(), url.authority()),
            ((host, port), authority),
            "{text}"
        );
    }
    let login = |text: &str| {
        let url: RemoteUrl = text.parse().unwrap();
        let (user, path) = url.ssh_login();
        (user.map(str::to_owned), path.to_owned())
    };
    let git = Some("git".to_owned());
    assert_eq!(login("git@h:a/b.git"), (git.clone(), "a/b.git".to_owned()));
    assert_eq!(login("ssh://git@h:2222/a/b"), (git, "/a/b".to_owned()));
    assert_eq!(login("ssh://h/a"), (None, "/a".to_owned()));
}

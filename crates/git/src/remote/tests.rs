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

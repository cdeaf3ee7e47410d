//! Scanning archives with lists of several package managers.

use super::*;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

fn names(installed: &InstalledPackages) -> Vec<String> {
    let packages = installed.packages.iter();
    packages
        .map(|package| {
            format!(
                "{:?} {} {}",
                package.package_type, package.name, package.version
            )
        })
        .collect()
}

#[test]
fn packages_of_every_package_manager_are_found() {
    let archive = archive(&[
        (
            "etc/os-release",
            "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n",
        ),
        (
            "var/lib/dpkg/status",
            "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7.88-1\n\
             Description: a tool\n Version: no field\n\nPackage: gone\nStatus: deinstall ok \
             config-files\nVersion: 1\n",
        ),
        (
            "var/lib/dpkg/status.d/base",
            "Package: base-files\nVersion: 12\n",
        ),
        (
            "var/lib/dpkg/status.d/base.md5sums",
            "Package: no\nVersion: 1\n",
        ),
        (
            "lib/apk/db/installed",
            "C:Q1\nP:musl\nV:1.2-r0\nA:x86_64\n\nP:zlib\nV:1.3\n",
        ),
        (
            "usr/lib/python3/dist-packages/x-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n\nName: prose\n",
        ),
        (
            "app/node_modules/left/package.json",
            r#"{"name":"left","version":"1.3.0"}"#,
        ),
        (
            "app/node_modules/@a/b/package.json",
            r#"{"name":"@a/b","version":"2.0.0"}"#,
        ),
        (
            "app/node_modules/left/lib/package.json",
            r#"{"name":"no","version":"1"}"#,
        ),
        ("app/package.json", r#"{"name":"no","version":"1"}"#),
        ("app/node_modules/broken/package.json", "{"),
    ]);
    let installed = scan(archive.as_slice(), &ScanLimits::default()).unwrap();
    assert_eq!(
        names(&installed),
        [
            "Deb base-files 12",
            "Deb curl 7.88-1",
            "Apk musl 1.2-r0",
            "Apk zlib 1.3",
            "Python x 1.0",
            "Node @a/b 2.0.0",
            "Node left 1.3.0",
        ]
    );
    assert_eq!(installed.id.as_deref(), Some("debian"));
    assert_eq!(installed.version.as_deref(), Some("12"));
    assert!(installed.is_complete);
}

#[test]
fn a_scan_beyond_a_limit_is_incomplete() {
    let status = "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n";
    let archive = archive(&[
        ("var/lib/dpkg/status", status),
        ("lib/apk/db/installed", "P:c\nV:1\n"),
    ]);
    let usual = ScanLimits::default();
    for limits in [
        ScanLimits { file: 20, ..usual },
        ScanLimits {
            packages: 1,
            ..usual
        },
        ScanLimits {
            archive: 50,
            ..usual
        },
    ] {
        let installed = scan(archive.as_slice(), &limits).unwrap();
        assert!(!installed.is_complete, "{limits:?}");
        assert!(installed.packages.len() < 3, "{limits:?}");
    }
    // A truncated archive is an error, not an incomplete list.
    assert!(scan(&archive[..700], &usual).is_err());
}

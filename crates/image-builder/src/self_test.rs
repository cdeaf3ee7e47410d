//! A build that does what every build does, to find out whether the engine can build at all.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use slipway_build_context::FileModes;
use slipway_domain::base_image::BaseImage;
use slipway_domain::{BuildStep, ImageBuild, Phase};
use tokio_util::sync::CancellationToken;

use crate::builder::Builder;
use crate::error::BuildError;
use crate::progress::Progress;
use crate::request::{BuildRequest, Origin, Variables};

/// The program in the test image.
const PROGRAM: &str = "exit";
/// The address at which the program is loaded.
const LOAD_ADDRESS: u64 = 0x0040_0000;
/// The sizes of the program's two headers, in bytes.
const FILE_HEADER: u16 = 64;
const SEGMENT_HEADER: u16 = 56;
/// A page of any kernel, in bytes.
const PAGE: u64 = 0x1_0000;

impl Builder {
    /// Builds an image from nothing, which needs no registry, and runs a command in it: this takes a
    /// snapshot, a mount, an endpoint in the network and the runtime. Nothing of it stays.
    /// `scratch` is an empty directory.
    ///
    /// # Errors
    /// What failed, as for [`Builder::build`].
    pub async fn self_test(&self, scratch: &Path) -> Result<(), BuildError> {
        let checkout = scratch.join("checkout");
        let architecture = self.platform().map(|platform| platform.to_string());
        write_checkout(&checkout, architecture.as_deref().unwrap_or_default())?;
        let request = BuildRequest {
            job: format!("self-test-{:016x}", rand::random::<u64>()),
            checkout,
            modes: FileModes::default(),
            spec: ImageBuild {
                // A result from the cache would prove nothing.
                no_cache: true,
                ..ImageBuild::default()
            },
            origin: Origin::default(),
            logins: Vec::new(),
            pull_login: None,
            variables: Variables::default(),
            scratch: scratch.to_owned(),
            source_date: None,
            cache_scope: None,
        };
        let built = self
            .build(&request, &NoProgress, &CancellationToken::new())
            .await;
        // The build leaves its image if this builder keeps images.
        if let Err(error) = self.remove_job(&request.job).await {
            tracing::debug!(%error, "Could not delete the image of the self-test");
        }
        built.map(drop)
    }
}

/// Nobody sees the trace of a self-test.
struct NoProgress;

impl Progress for NoProgress {
    fn phase(&self, _: Phase) {}
    fn base_image(&self, _: &BaseImage) {}
    fn step(&self, _: &BuildStep) {}
    fn output(&self, _: &[u8]) {}
}

/// Writes a Dockerfile, and a program for this platform to run in it.
fn write_checkout(dir: &Path, platform: &str) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let dockerfile = format!("FROM scratch\nCOPY {PROGRAM} /\n");
    let Some(program) = program(platform) else {
        // On other platforms only the store is tested.
        std::fs::write(dir.join(PROGRAM), "")?;
        return std::fs::write(dir.join("Dockerfile"), dockerfile);
    };
    let path = dir.join(PROGRAM);
    std::fs::write(&path, program)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    let run = format!("{dockerfile}RUN [\"/{PROGRAM}\"]\n");
    std::fs::write(dir.join("Dockerfile"), run)
}

/// A program that only exits with 0, as an ELF file. `None` for platforms without one here.
fn program(platform: &str) -> Option<Vec<u8>> {
    let (machine, code): (u16, &[u8]) = match platform {
        // mov eax, 60; xor edi, edi; syscall
        "linux/amd64" => (0x3e, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
        // mov x0, #0; mov x8, #93; svc #0
        "linux/arm64" => (
            0xb7,
            &[
                0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4,
            ],
        ),
        _ => return None,
    };
    let code_at = FILE_HEADER + SEGMENT_HEADER;
    let size = u64::from(code_at) + code.len() as u64;
    let mut file = Vec::new();
    // 64 bits, little-endian, version 1; the rest of the identification is zero.
    file.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(2_u16.to_le_bytes()); // an executable
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes()); // the version of the format
    file.extend((LOAD_ADDRESS + u64::from(code_at)).to_le_bytes()); // the entry point
    file.extend(u64::from(FILE_HEADER).to_le_bytes()); // where the segment header is
    file.extend(0_u64.to_le_bytes()); // no section headers
    file.extend(0_u32.to_le_bytes()); // no flags
    for field in [FILE_HEADER, SEGMENT_HEADER, 1, 64, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes()); // a segment that is loaded
    file.extend(5_u32.to_le_bytes()); // readable and executable
    file.extend(0_u64.to_le_bytes()); // where it is in the file
    for field in [LOAD_ADDRESS, LOAD_ADDRESS, size, size, PAGE] {
        file.extend(field.to_le_bytes());
    }
    file.extend(code);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_exits_with_0_on_this_host() {
        let dir = tempfile::tempdir().unwrap();
        let platform = match std::env::consts::ARCH {
            "x86_64" => "linux/amd64",
            "aarch64" => "linux/arm64",
            other => other,
        };
        write_checkout(dir.path(), platform).unwrap();
        let dockerfile = std::fs::read_to_string(dir.path().join("Dockerfile")).unwrap();
        if program(platform).is_none() {
            assert!(!dockerfile.contains("RUN"), "{dockerfile}");
            return;
        }
        assert!(dockerfile.contains("RUN"), "{dockerfile}");
        let status = std::process::Command::new(dir.path().join(PROGRAM)).status();
        assert!(status.unwrap().success());
    }
}

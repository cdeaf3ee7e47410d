//! The words by which the causes of failures are recognized.
//!
//! A row is searched in the cause of a message, without regard to case. The tests contain the
//! messages of the engines that the rows come from.

/// A program that the container does not have or may not run, a user it does not have, and a mount
/// that does not fit. A runtime reports these before the command starts, with the words of its own
/// failures around them, but the Dockerfile or its image is wrong.
const PROGRAM_IS_WRONG: &[&str] = &[
    // runc: `exec: "/x": stat /x: no such file or directory`, `executable file not found in $PATH`,
    // `permission denied` or `is a directory`.
    "exec: \"",
    // crun.
    "executable file `",
    "executable file not found",
    "open executable: ",
    "exec container process ",
    "chdir to cwd",
    "cannot chdir to",
    "unable to find user",
    "unable to find group",
    "unknown user error",
    "no matching entries in passwd file",
    "no matching entries in group file",
    "mount a directory onto a file",
    "not a directory",
];

/// Something that a step names does not exist, or differs from what the Dockerfile says.
const REFERENCE_IS_WRONG: &[&str] = &[
    // `failed to compute cache key: "/x" not found`, `failed to calculate checksum of ref …: "/x":
    // not found`.
    "\" not found",
    "\": not found",
    // Podman, for a mount whose source does not exist.
    "resolving mountpoints for container",
    "is not allowed",
    "requires buildkit",
];

/// An instruction that is invalid, although the builder reports it with a step.
const INSTRUCTION_IS_INVALID: &[&str] = &[
    "unknown instruction",
    "unknown flag",
    "unexpected key",
    "invalid mount option",
    "invalid mount type",
    "unsupported mount type",
    "invalid checksum",
    "digest mismatch",
    "checksum mismatch",
];

/// The engine's own programs. If one of them is missing, the host is at fault.
const PROGRAMS_OF_ENGINE: &[&str] = &[
    "exec: \"runc\"",
    "exec: \"crun\"",
    "exec: \"docker-init\"",
    "exec: \"docker-runc\"",
    "exec: \"containerd-shim",
    "exec: \"buildkit-runc\"",
    "exec: \"iptables\"",
    "exec: \"nft\"",
    "exec: \"netavark\"",
    "exec: \"unpigz\"",
    "exec: \"xz\"",
];

/// No space, or no quota, in the engine's store.
const DISK_FULL: &[&str] = &[
    "no space left on device",
    "disk quota exceeded",
    "not enough space",
    "insufficient space",
    "no free inodes",
];

/// The engine, its network, its runtime or its store failed.
const HOST_FAILED: &[&str] = &[
    // libnetwork, and Podman's network programs.
    "failed to create endpoint",
    "failed to set up container networking",
    "failed to create network",
    "could not find bridge",
    "no available network",
    "no available ipv",
    "error adding interface",
    "failed to add the host",
    "failed to add interface",
    "failed to set link",
    "failed to allocate gateway",
    "failed programming external connectivity",
    "iptables failed",
    "iptables: no chain",
    "netavark: ",
    "slirp4netns failed",
    "pasta failed",
    "error configuring network",
    "configuring network namespace",
    "cni plugin",
    // The runtime and its shim.
    "oci runtime create failed",
    "oci runtime error",
    "runc run failed",
    "runc create failed",
    "runc did not terminate",
    "unable to start container process",
    "starting container process caused",
    "container init caused",
    "failed to create shim",
    "failed to start shim",
    "failed to create task",
    "failed to start container",
    "fork/exec /",
    "in namespace \"",
    "error running container: ",
    "creating build container: mounting",
    // Snapshots, layers and mounts.
    "failed to prepare",
    "failed to mount",
    "error creating overlay mount",
    "creating overlay mount to",
    "error mounting",
    "failed to unmount",
    "failed to stat snapshot",
    "failed to create snapshot",
    "failed to get snapshot",
    "failed to commit",
    "failed to register layer",
    "failed to extract layer",
    "failed to apply layer",
    "failed to create rwlayer",
    "failed to export layer",
    "failed to export image",
    "failed to create temp dir",
    "failed to get layer",
    "failed to create lease",
    "failed to create diff",
    "error creating temporary lease",
    "mount callback failed",
    "layer does not exist",
    "layer not known",
    "missing parent",
    "parent snapshot",
    "error processing tar file",
    "failed to read downloaded context",
    // The kernel and the file system.
    "input/output error",
    "read-only file system",
    "structure needs cleaning",
    "stale file handle",
    "stale nfs file handle",
    "too many open files",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "device or resource busy",
    "transport endpoint is not connected",
    // The engine lost one of its own parts, or is shutting down.
    "context canceled",
    "transport: error while dialing",
    "connection error: desc",
    "error reading from server",
    "code = unavailable",
    "code = internal",
    "code = canceled",
    "client connection is closing",
    "transport is closing",
    "daemon is shutting down",
    "server is shutting down",
    "database not open",
    "no active session",
    "session healthcheck failed",
    "failed to receive status",
    "unable to upgrade to h2c",
    "failed to dial grpc",
    ".sock: connect:",
    "invalid memory address",
];

/// The engine refused the Dockerfile before any step ran. Needed only where a message could mean
/// something else: see `build_error`.
const DOCKERFILE_IS_WRONG: &[&str] = &[
    "dockerfile parse error",
    "failed to create llb definition",
    "failed to parse dockerfile",
    "file with no instructions",
    "cannot be empty",
    "no build stage in current context",
    "failed to reach build target",
    "target stage",
    "unknown instruction",
    "syntax error",
    "invalid from flag",
    "invalid field",
    "base name",
    "circular dependency",
    "failed to process",
    "unsupported frontend",
    "lint violation",
    "the --mount option",
    "requires buildkit",
    "invalid reference format",
];

/// Whether a step asks for a program, a user or a mount that its image does not have.
pub(super) fn is_program_wrong(cause: &str) -> bool {
    contains_any(cause, PROGRAM_IS_WRONG) && !contains_any(cause, PROGRAMS_OF_ENGINE)
}

/// Whether something that a step names does not exist, or differs from what the Dockerfile says.
pub(super) fn is_reference_wrong(cause: &str) -> bool {
    contains_any(cause, REFERENCE_IS_WRONG)
}

/// Whether an instruction is invalid.
pub(super) fn is_instruction_invalid(cause: &str) -> bool {
    contains_any(cause, INSTRUCTION_IS_INVALID)
}

/// Whether a disk of the engine's host is full.
pub(super) fn is_disk_full(cause: &str) -> bool {
    contains_any(cause, DISK_FULL)
}

/// Whether the engine, its network, its runtime or its store failed.
pub(super) fn has_host_failed(cause: &str) -> bool {
    contains_any(cause, HOST_FAILED)
}

/// Whether the engine refused the Dockerfile before any step ran.
pub(super) fn is_dockerfile_wrong(cause: &str) -> bool {
    contains_any(cause, DOCKERFILE_IS_WRONG) || is_instruction_invalid(cause)
}

fn contains_any(cause: &str, words: &[&str]) -> bool {
    // Podman passes on lines of logs, in which quotes are escaped.
    let cause = cause.to_lowercase().replace("\\\"", "\"");
    words.iter().any(|words| cause.contains(words))
}

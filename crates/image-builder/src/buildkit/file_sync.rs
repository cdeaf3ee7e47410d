//! Sends the files of a build as BuildKit requests them: it gets a list of all files that the
//! Dockerfile may need, and requests the contents of those it lacks.
//!
//! BuildKit identifies files that a step copies by their content, whichever build sent them. An
//! archive would count as a source of its own, in the engine and in the cache records of images,
//! which would then grow with every build
//! (`docs/decisions/0022-let-buildkit-request-context-files.md`).
//!
//! The protocol is fsutil's, which BuildKit calls DiffCopy. The client sends a stat for each entry
//! in the order of names, then an empty stat. The engine requests a file by the position of its
//! entry. The client sends the contents in chunks, then an empty chunk. A final packet from each
//! side ends the exchange.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use slipway_build_context::{Content, Context, Entry, EntryKind, FileModes, KeepIgnored, Packing};
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// BuildKit's names for the directory with the Dockerfile and for the context.
const DOCKERFILE_DIR: &str = "dockerfile";
const CONTEXT_DIR: &str = "context";
/// The kinds of entries in the upper bits of a mode, as in Go's `fs.FileMode`.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_LINK: u32 = 1 << 27;
/// The special bits of a Unix mode, and what they are in Go's.
const SPECIAL_BITS: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
/// How many packets are buffered for the engine.
const PACKET_BUFFER: usize = 32;
/// The size of a chunk of a file, in bytes.
const CHUNK: usize = 64 * 1024;

/// The files of one build.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Context,
    /// Later modification times are replaced by this one.
    latest_change: Option<SystemTime>,
    modes: FileModes,
    failure: Mutex<Option<io::Error>>,
}

/// What the engine wants a list of.
enum Listing {
    Dockerfile,
    /// The context, or only these paths and what is below them.
    Context(Option<Vec<PathBuf>>),
}

/// A file that the engine may request.
struct ListedFile {
    on_disk: PathBuf,
    size: u64,
}

/// The listed files that are not requested yet, by their position in the list.
type ListedFiles = Mutex<HashMap<u32, ListedFile>>;
type PacketSender = mpsc::Sender<Packet>;

impl Files {
    pub(crate) fn new(
        context: Context,
        latest_change: Option<SystemTime>,
        modes: FileModes,
    ) -> Self {
        Self(Arc::new(Inner {
            context,
            latest_change,
            modes,
            failure: Mutex::default(),
        }))
    }

    /// The file name of the Dockerfile. It is offered in a directory of its own, so its path in the
    /// checkout does not matter.
    pub(crate) fn dockerfile(&self) -> String {
        let name = self.0.context.dockerfile_file_name();
        name.to_string_lossy().into_owned()
    }

    /// Takes the error that kept a file from being sent. Its kind is `InvalidFilename` if the
    /// protocol cannot represent the name.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.0.failure.lock().take()
    }

    /// Sends the list. An error is sent to the engine too.
    fn send_list(&self, listing: &Listing, listed: &ListedFiles, packets: &PacketSender) {
        let result = match listing {
            Listing::Dockerfile => self.list_dockerfile(listed, packets),
            Listing::Context(paths) => self.list_context(paths.as_deref(), listed, packets),
        };
        let end = result.and_then(|()| send(packets, PacketType::PacketStat, Packet::default()));
        if let Err(error) = end {
            self.fail(error, packets);
        }
    }

    fn list_dockerfile(&self, listed: &ListedFiles, packets: &PacketSender) -> io::Result<()> {
        let path = self.0.context.dockerfile_path();
        let name = self.dockerfile();
        let entry = Entry {
            on_disk: path,
            name: Path::new(&name),
            kind: EntryKind::File {
                size: path.metadata()?.len(),
            },
            mode: 0o644,
            modified: std::time::Duration::ZERO,
        };
        send_stat(&entry, 0, listed, packets)
    }

    fn list_context(
        &self,
        paths: Option<&[PathBuf]>,
        listed: &ListedFiles,
        packets: &PacketSender,
    ) -> io::Result<()> {
        let is_wanted = |name: &Path| {
            paths.is_none_or(|paths| {
                let mut paths = paths.iter();
                // The directories that lead to a path are listed too.
                paths.any(|path| name.starts_with(path) || path.starts_with(name))
            })
        };
        let packing = Packing {
            latest_change: self.0.latest_change,
            keep: KeepIgnored::Nothing,
            modes: self.0.modes,
        };
        let mut position = 0;
        self.0.context.walk(packing, &is_wanted, &mut |entry| {
            send_stat(&entry, position, listed, packets)?;
            position += 1;
            Ok(())
        })
    }

    /// Sends the contents of requested files until no more requests can come.
    fn send_contents(
        &self,
        mut requested: mpsc::Receiver<(u32, ListedFile)>,
        packets: &PacketSender,
    ) {
        while let Some((id, file)) = requested.blocking_recv() {
            if let Err(error) = send_file(id, &file, packets) {
                self.fail(error, packets);
                return;
            }
        }
    }

    fn fail(&self, error: io::Error, packets: &PacketSender) {
        let packet = Packet {
            data: error.to_string().into_bytes(),
            ..Packet::default()
        };
        // If the engine has closed the stream, the error is only a consequence of that. The first
        // error is the cause of later ones.
        if send(packets, PacketType::PacketErr, packet).is_ok() {
            self.0.failure.lock().get_or_insert(error);
        }
    }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let listing = Listing::from_metadata(request.metadata(), self.0.context.root())?;
        let (packets, mut outgoing) = mpsc::channel(PACKET_BUFFER);
        let (requests, requested) = mpsc::channel(PACKET_BUFFER);
        let listed = Arc::new(ListedFiles::default());
        // Listing and sending run at the same time: the engine requests files while the list is
        // still being sent.
        let (files, positions, list_packets) = (self.clone(), Arc::clone(&listed), packets.clone());
        tokio::task::spawn_blocking(move || files.send_list(&listing, &positions, &list_packets));
        let (files, file_packets) = (self.clone(), packets.clone());
        tokio::task::spawn_blocking(move || files.send_contents(requested, &file_packets));
        let receiving = receive(request.into_inner(), listed, requests, packets);
        // Merged with the answers, so that both directions make progress while they are read.
        let receiving = stream::once(receiving).filter_map(async |result| result.err().map(Err));
        let outgoing = stream::poll_fn(move |task| outgoing.poll_recv(task)).map(Ok);
        Ok(Response::new(stream::select(outgoing, receiving).boxed()))
    }

    type TarStreamStream = stream::Empty<Result<Packet, Status>>;

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("use DiffCopy"))
    }
}

/// Receives requests for files until the engine has all it needs.
async fn receive(
    mut engine: Streaming<Packet>,
    listed: Arc<ListedFiles>,
    requests: mpsc::Sender<(u32, ListedFile)>,
    packets: PacketSender,
) -> Result<(), Status> {
    while let Some(packet) = engine.message().await? {
        match packet.r#type() {
            PacketType::PacketReq => {
                let file = listed.lock().remove(&packet.id);
                let file = file.ok_or_else(|| Status::invalid_argument("no such file listed"))?;
                // This fails only after an error that the engine already got.
                let _ = requests.send((packet.id, file)).await;
            }
            PacketType::PacketFin => {
                let last = packet_of(PacketType::PacketFin, Packet::default());
                // An engine that has closed the stream needs no answer.
                let _ = packets.send(last).await;
                return Ok(());
            }
            PacketType::PacketErr => {
                let why = String::from_utf8_lossy(&packet.data).into_owned();
                return Err(Status::aborted(why));
            }
            PacketType::PacketStat | PacketType::PacketData => {}
        }
    }
    Ok(())
}

impl Listing {
    fn from_metadata(metadata: &MetadataMap, root: &Path) -> Result<Self, Status> {
        let dir = metadata.get("dir-name").and_then(|dir| dir.to_str().ok());
        match dir {
            Some(DOCKERFILE_DIR) => Ok(Self::Dockerfile),
            Some(CONTEXT_DIR) => {
                let paths = metadata.get_all("followpaths").iter();
                let paths: Option<Vec<&str>> = paths.map(|path| path.to_str().ok()).collect();
                let is_encoded = metadata.contains_key("followpaths-encoded");
                // Listing too much costs time, listing too little fails the build. So a single
                // path that cannot be followed means the whole context.
                let paths = paths.filter(|paths| !paths.is_empty() && !is_encoded);
                Ok(Self::Context(paths.and_then(|paths| {
                    paths
                        .into_iter()
                        .map(|path| plain_path(root, path))
                        .collect()
                })))
            }
            _ => Err(Status::not_found("no such directory")),
        }
    }
}

/// The path in its simplest form. `None` for a pattern, and for a path through a symbolic link,
/// because such a build needs more files than the path names.
fn plain_path(root: &Path, path: &str) -> Option<PathBuf> {
    if path.contains(['*', '?', '[', '\\']) {
        return None;
    }
    let mut plain = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => plain.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
        if root.join(&plain).is_symlink() {
            return None;
        }
    }
    Some(plain)
}

/// Sends the stat of one entry, and lists the entry if it is a file.
fn send_stat(
    entry: &Entry<'_>,
    position: u32,
    listed: &ListedFiles,
    packets: &PacketSender,
) -> io::Result<()> {
    let (mode_bits, size, target) = match entry.kind {
        EntryKind::Directory => (MODE_DIRECTORY, 0, PathBuf::new()),
        EntryKind::File { size } => (0, size, PathBuf::new()),
        EntryKind::HardLink { to } => (0, 0, to.to_owned()),
        EntryKind::Link => {
            let target = entry.target()?;
            (MODE_LINK, target.as_os_str().len() as u64, target)
        }
    };
    let stat = Stat {
        path: utf8(entry.name)?,
        mode: mode_bits | go_mode(entry.mode),
        size: size.try_into().unwrap_or(i64::MAX),
        mod_time: entry.modified.as_nanos().try_into().unwrap_or(i64::MAX),
        linkname: utf8(&target)?,
        ..Stat::default()
    };
    // Listed before the stat is sent, because the engine may request the file at once.
    if matches!(entry.kind, EntryKind::File { .. }) {
        let file = ListedFile {
            on_disk: entry.on_disk.to_owned(),
            size,
        };
        listed.lock().insert(position, file);
    }
    let packet = Packet {
        stat: Some(stat),
        ..Packet::default()
    };
    send(packets, PacketType::PacketStat, packet)
}

/// The permissions and special bits of a Unix mode, as in Go's `fs.FileMode`.
fn go_mode(mode: u32) -> u32 {
    let special = SPECIAL_BITS.iter().filter(|(unix, _)| mode & unix != 0);
    special.fold(mode & 0o777, |mode, (_, go)| mode | go)
}

fn send_file(id: u32, file: &ListedFile, packets: &PacketSender) -> io::Result<()> {
    let mut content = Content::open(&file.on_disk, file.size)?;
    loop {
        let mut data = Vec::new();
        (&mut content).take(CHUNK as u64).read_to_end(&mut data)?;
        // The empty chunk is sent too: it marks the end of the file.
        let is_end = data.is_empty();
        let packet = Packet {
            id,
            data,
            ..Packet::default()
        };
        send(packets, PacketType::PacketData, packet)?;
        if is_end {
            return Ok(());
        }
    }
}

/// A name as the protocol represents it.
fn utf8(path: &Path) -> io::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        let why = format!("The file name {path:?} is not valid UTF-8");
        io::Error::new(io::ErrorKind::InvalidFilename, why)
    })
}

fn packet_of(kind: PacketType, packet: Packet) -> Packet {
    Packet {
        r#type: kind.into(),
        ..packet
    }
}

fn send(packets: &PacketSender, kind: PacketType, packet: Packet) -> io::Result<()> {
    let sent = packets.blocking_send(packet_of(kind, packet));
    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

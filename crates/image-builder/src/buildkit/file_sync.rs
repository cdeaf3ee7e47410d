//! The files of a build, as BuildKit asks its client for them: it is told of each file that the
//! Dockerfile may need, and asks for what is in it.
//!
//! BuildKit remembers what a step copied by the content of that, and forgets which build it came
//! from. An archive it would remember as a source of its own, in the engine and in what it writes
//! into images for others to take layers from, which would grow with every build.
//!
//! The protocol is that of fsutil, which BuildKit calls DiffCopy: a stat for each entry in the order
//! of names, an empty one at the end; requests by the place of an entry in that order; the pieces of
//! the content, and an empty one at its end; and a last word from either side.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use slipway_build_context::{Content, Context, Entry, KeepIgnored, EntryKind, Packing};
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// How BuildKit calls the directory with the Dockerfile, and the context.
const DOCKERFILE_DIR: &str = "dockerfile";
const CONTEXT_DIR: &str = "context";
/// What the kinds of entries are in the upper bits of a mode, as Go's `fs.FileMode` has them.
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
/// How many packets wait for the engine.
const PACKETS: usize = 32;
/// How large a piece of a file is, in bytes.
const PIECE: usize = 64 * 1024;

/// The files of one build.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Context,
    /// What changed later is said to have changed then.
    latest_change: Option<SystemTime>,
    failed: Mutex<Option<io::Error>>,
}

/// What is to be told.
enum Asked {
    /// Of the Dockerfile alone.
    Dockerfile,
    /// Of the context, or of those paths in it and what is below them.
    Context(Option<Vec<PathBuf>>),
}

/// A file that may be asked for.
struct File {
    on_disk: PathBuf,
    size: u64,
}

/// The files that were told of and not asked for yet, by their place.
type Told = Mutex<HashMap<u32, File>>;
type Answers = mpsc::Sender<Packet>;

impl Files {
    /// The files of a build with this context.
    pub(crate) fn new(context: Context, latest_change: Option<SystemTime>) -> Self {
        Self(Arc::new(Inner {
            context,
            latest_change,
            failed: Mutex::default(),
        }))
    }

    /// What the Dockerfile is called here. It lies in a directory of its own, wherever it is.
    pub(crate) fn dockerfile(&self) -> String {
        let name = self.0.context.dockerfile_path().file_name();
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Why something could not be sent, if that is so: `InvalidFilename` where its name cannot be said.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        lock(&self.0.failed).take()
    }

    /// Tells of every entry that is asked for; the engine hears what goes wrong.
    fn tell(&self, asked: &Asked, told: &Told, answers: &Answers) {
        let result = match asked {
            Asked::Dockerfile => self.tell_dockerfile(told, answers),
            Asked::Context(followed) => self.tell_context(followed.as_deref(), told, answers),
        };
        let end = result.and_then(|()| say(answers, PacketType::PacketStat, Packet::default()));
        if let Err(error) = end {
            self.fail(error, answers);
        }
    }

    fn tell_dockerfile(&self, told: &Told, answers: &Answers) -> io::Result<()> {
        let path = self.0.context.dockerfile_path();
        let name = self.dockerfile();
        let entry = Entry {
            on_disk: path,
            name: Path::new(&name),
            kind: EntryKind::File {
                size: path.metadata()?.len(),
                is_executable: false,
            },
            modified: std::time::Duration::ZERO,
        };
        tell_of(&entry, 0, told, answers)
    }

    fn tell_context(
        &self,
        followed: Option<&[PathBuf]>,
        told: &Told,
        answers: &Answers,
    ) -> io::Result<()> {
        let wants = |name: &Path| {
            followed.is_none_or(|followed| {
                let mut followed = followed.iter();
                followed.any(|path| name.starts_with(path) || path.starts_with(name))
            })
        };
        let packing = Packing {
            latest_change: self.0.latest_change,
            keep: KeepIgnored::Nothing,
        };
        let mut place = 0;
        self.0.context.walk(packing, &wants, &mut |entry| {
            tell_of(&entry, place, told, answers)?;
            place += 1;
            Ok(())
        })
    }

    /// Sends what is in the files that are asked for.
    fn send(&self, mut wanted: mpsc::Receiver<(u32, File)>, answers: &Answers) {
        while let Some((id, file)) = wanted.blocking_recv() {
            if let Err(error) = send_file(id, &file, answers) {
                self.fail(error, answers);
                return;
            }
        }
    }

    fn fail(&self, error: io::Error, answers: &Answers) {
        let packet = Packet {
            data: error.to_string().into_bytes(),
            ..Packet::default()
        };
        // An engine that has gone away caused it, and needs no word.
        if say(answers, PacketType::PacketErr, packet).is_ok() {
            lock(&self.0.failed).get_or_insert(error);
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
        let asked = Asked::read(request.metadata(), self.0.context.root())?;
        let (answers, mut packets) = mpsc::channel(PACKETS);
        let (wants, wanted) = mpsc::channel(PACKETS);
        let told = Arc::new(Told::default());
        let (files, names, teller) = (self.clone(), Arc::clone(&told), answers.clone());
        tokio::task::spawn_blocking(move || files.tell(&asked, &names, &teller));
        let (files, sender) = (self.clone(), answers.clone());
        tokio::task::spawn_blocking(move || files.send(wanted, &sender));
        let hearing = hear(request.into_inner(), told, wants, answers);
        // Both ways move while the answer is read.
        let hearing = stream::once(hearing).filter_map(async |ended| ended.err().map(Err));
        let packets = stream::poll_fn(move |task| packets.poll_recv(task)).map(Ok);
        Ok(Response::new(stream::select(packets, hearing).boxed()))
    }

    type TarStreamStream = stream::Empty<Result<Packet, Status>>;

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("this is not offered"))
    }
}

/// Hears which files are wanted, until the engine has all that it wants.
async fn hear(
    mut engine: Streaming<Packet>,
    told: Arc<Told>,
    wants: mpsc::Sender<(u32, File)>,
    answers: Answers,
) -> Result<(), Status> {
    while let Some(packet) = engine.message().await? {
        match packet.r#type() {
            PacketType::PacketReq => {
                let file = lock(&told).remove(&packet.id);
                let file = file.ok_or_else(|| Status::invalid_argument("there is no such file"))?;
                // Nobody sends any more once something went wrong, of which the engine was told.
                let _ = wants.send((packet.id, file)).await;
            }
            PacketType::PacketFin => {
                let last = packet_of(PacketType::PacketFin, Packet::default());
                // An engine that has gone away needs no answer.
                let _ = answers.send(last).await;
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

impl Asked {
    fn read(metadata: &MetadataMap, root: &Path) -> Result<Self, Status> {
        let dir = metadata.get("dir-name").and_then(|dir| dir.to_str().ok());
        match dir {
            Some(DOCKERFILE_DIR) => Ok(Self::Dockerfile),
            Some(CONTEXT_DIR) => {
                let paths = metadata.get_all("followpaths").iter();
                let paths: Option<Vec<&str>> = paths.map(|path| path.to_str().ok()).collect();
                let is_encoded = metadata.contains_key("followpaths-encoded");
                let paths = paths.filter(|paths| !paths.is_empty() && !is_encoded);
                Ok(Self::Context(paths.and_then(|paths| {
                    paths.into_iter().map(|path| followed(root, path)).collect()
                })))
            }
            _ => Err(Status::not_found("there is no such directory")),
        }
    }
}

/// The path as it can be looked for without knowing what is there; `None` for patterns, and for what
/// leads through a link, of which more belongs to the build than the path says.
fn followed(root: &Path, path: &str) -> Option<PathBuf> {
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

/// Tells of one entry.
fn tell_of(entry: &Entry<'_>, place: u32, told: &Told, answers: &Answers) -> io::Result<()> {
    let (kind, size, target) = match entry.kind {
        EntryKind::Directory => (DIRECTORY, 0, PathBuf::new()),
        EntryKind::File { size, .. } => (0, size, PathBuf::new()),
        EntryKind::Link => {
            let target = entry.target()?;
            (LINK, target.as_os_str().len() as u64, target)
        }
    };
    let stat = Stat {
        path: text(entry.name)?,
        mode: kind | entry.kind.mode(),
        size: size.try_into().unwrap_or(i64::MAX),
        mod_time: entry.modified.as_nanos().try_into().unwrap_or(i64::MAX),
        linkname: text(&target)?,
        ..Stat::default()
    };
    if kind == 0 {
        let file = File {
            on_disk: entry.on_disk.to_owned(),
            size,
        };
        lock(told).insert(place, file);
    }
    let packet = Packet {
        stat: Some(stat),
        ..Packet::default()
    };
    say(answers, PacketType::PacketStat, packet)
}

fn send_file(id: u32, file: &File, answers: &Answers) -> io::Result<()> {
    let mut content = Content::open(&file.on_disk, file.size)?;
    loop {
        let mut data = Vec::new();
        (&mut content).take(PIECE as u64).read_to_end(&mut data)?;
        let is_end = data.is_empty();
        let packet = Packet {
            id,
            data,
            ..Packet::default()
        };
        say(answers, PacketType::PacketData, packet)?;
        if is_end {
            return Ok(());
        }
    }
}

/// A name as the engine takes it.
fn text(path: &Path) -> io::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        let why = format!("The name {path:?} is no UTF-8");
        io::Error::new(io::ErrorKind::InvalidFilename, why)
    })
}

fn packet_of(kind: PacketType, packet: Packet) -> Packet {
    Packet {
        r#type: kind.into(),
        ..packet
    }
}

fn say(answers: &Answers, kind: PacketType, packet: Packet) -> io::Result<()> {
    let said = answers.blocking_send(packet_of(kind, packet));
    said.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// No code that holds these locks can panic half-way, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

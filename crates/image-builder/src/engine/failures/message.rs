//! The parts of an engine's message about a failed step: the command, how it ended, and the cause.
//!
//! A message quotes the step's command, which can contain any words. So the cause is cut out before
//! anything is looked up in it.

/// How the engines quote the command of a step: what precedes it, and what follows it.
const QUOTES: &[(&str, &str)] = &[
    // BuildKit up to 0.9, as in Docker 20.10.
    ("executor failed running [", "]: "),
    ("process \"", "\" did not complete successfully: "),
    ("The command '", "' returned a non-zero code: "),
    // Podman, which quotes the instruction.
    ("building at STEP \"", "\": "),
];
/// What the layers of the engine add in front of a message they pass on.
const WRAPPERS: &[&str] = &[
    "Docker stream error: ",
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve with frontend gateway.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "failed to build LLB: ",
    "rpc error: code = Unknown desc = ",
    "executor failed running ",
];
/// What precedes the exit code of a command, at the end of a message.
const EXITS: &[&str] = &[
    "exit code: ",
    "while running runtime: exit status ",
    "error while running runtime: exit status ",
    "",
];
/// The exit code of a command that the kernel killed, as a shell reports it.
const KILLED: i64 = 137;
/// The largest exit code of a process. BuildKit reports a larger one if it does not know the code.
const MAX_EXIT_CODE: i64 = 255;

/// What is known about the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Why the step failed, without wrappers and without the command.
    pub(super) cause: &'a str,
    /// How its command ended, if it ended by itself.
    pub(super) exit: Option<Exit>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// With this exit code, perhaps because of a signal.
    Code(i64),
    /// The kernel killed it because memory ran out.
    OutOfMemory,
}

impl Exit {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Code(code) => code,
            Self::OutOfMemory => KILLED,
        }
    }
}

impl<'a> Message<'a> {
    /// Takes a message apart. `step` is the name of the failed step, whose instruction the message
    /// may quote.
    pub(super) fn parse(message: &'a str, step: Option<&str>) -> Self {
        let quoted = QUOTES.iter().find_map(|(before, after)| {
            let (_, rest) = message.split_once(before)?;
            rest.contains(after).then_some((rest, *after))
        });
        let Some((rest, after)) = quoted else {
            return Self {
                cause: last_cause(message),
                exit: None,
            };
        };
        // Nothing can follow the end of a command, so it is behind the last separator.
        if let Some((_, end)) = rest.rsplit_once(after)
            && let Some(exit) = exit_of(end, after)
        {
            return Self {
                cause: last_cause(message),
                exit: Some(exit),
            };
        }
        // Any other cause can contain the separator, and so can the command.
        let instruction = step.map(instruction).unwrap_or_default();
        let command_end = rest
            .find(instruction)
            .map_or(0, |at| at + instruction.len());
        let cause = rest[command_end..]
            .split_once(after)
            .or_else(|| rest.split_once(after))
            .map_or(rest, |(_, cause)| cause);
        Self { cause, exit: None }
    }
}

/// The end of a command that is all of `end`, which follows the separator `after`.
fn exit_of(end: &str, after: &str) -> Option<Exit> {
    let end = end.trim_end();
    if end == "cannot allocate memory" {
        return Some(Exit::OutOfMemory);
    }
    let digits = EXITS.iter().find_map(|words| {
        // Only the classic builder's separator ends with the words for an exit code.
        let may_be_bare = after.ends_with("code: ");
        end.strip_prefix(words)
            .filter(|_| !words.is_empty() || may_be_bare)
    })?;
    let code: i64 = digits.parse().ok()?;
    (0..=MAX_EXIT_CODE)
        .contains(&code)
        .then_some(Exit::Code(code))
}

/// What a step executes, without its label and the name of the instruction.
fn instruction(step: &str) -> &str {
    let named = step
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .or_else(|| step.split_once(" : "))
        .map_or(step, |(_, named)| named);
    named.split_once(' ').map_or("", |(_, words)| words)
}

/// Strips what the layers of the engine add in front of a message.
pub(super) fn last_cause(message: &str) -> &str {
    let mut rest = message;
    while let Some(shorter) = WRAPPERS.iter().find_map(|words| rest.strip_prefix(words)) {
        rest = shorter;
    }
    rest
}

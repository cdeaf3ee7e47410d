//! A guard that kills a process group when it is dropped.
//!
//! Killing only the child that was started would leave the processes that it started itself
//! (git's transport helpers, the agent behind a shell) running.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Kills a process group with SIGKILL when dropped, unless it was disarmed.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// Guards the group of the process `leader`, which must have been started with
    /// `process_group(0)`. `None`, the id of a process that was already waited for, guards nothing.
    pub fn led_by(leader: Option<u32>) -> Self {
        let leader = leader.and_then(|id| i32::try_from(id).ok());
        Self(leader.map(Pid::from_raw))
    }

    /// Kills the group now.
    pub fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // It fails if all processes of the group have ended, which is the goal.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }

    /// Leaves the group alone from now on. Call this once the leader has been waited for: the
    /// system may give its id to another group.
    pub fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell whose child holds the shell's output open, as a helper of git does.
    fn start() -> Child {
        Command::new("sh")
            .args(["-c", "sleep 600 & echo started; wait"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn dropping_the_guard_kills_the_leader_and_its_children() {
        let mut leader = start();
        let mut output = leader.stdout.take().unwrap();
        let group = ProcessGroup::led_by(Some(leader.id()));
        output.read_exact(&mut [0; "started\n".len()]).unwrap();
        drop(group);
        // The pipe only closes when the child has ended as well.
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert!(!leader.wait().unwrap().success());
    }

    #[test]
    fn a_disarmed_guard_kills_nothing() {
        let mut leader = start();
        let mut group = ProcessGroup::led_by(Some(leader.id()));
        group.disarm();
        drop(group);
        assert_eq!(leader.try_wait().unwrap(), None);
        drop(ProcessGroup::led_by(Some(leader.id())));
        leader.wait().unwrap();
    }
}

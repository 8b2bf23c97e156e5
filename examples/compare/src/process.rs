//! This program again in another role, the cores it may use, and how it ends.
#![allow(unsafe_code)]
// System calls that the standard library does not have. All of them concern this process alone and take plain numbers, or a
// set of cores that lives on the stack.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, io, mem};

use crate::Result;

/// Who is to call whom, with what.
#[derive(Debug, Clone, clap::Args)]
pub struct Job {
    pub mechanism: String,
    pub payload: usize,
    pub in_flight: usize,
    /// A folder for sockets and the like.
    pub folder: PathBuf,
    /// Makes the names unique that are not in a folder: the number of the process that compares.
    pub number: u32,
}

impl Job {
    /// A name for what the kernel keeps by name.
    pub fn name(&self, what: &str) -> String {
        format!("/ipc-rpc-compare-{}-{what}", self.number)
    }

    /// This program in that role.
    pub fn command(&self, role: &str) -> Result<Command> {
        let mut command = again(role)?;
        command.arg(&self.mechanism).args([self.payload, self.in_flight].map(|n| n.to_string()));
        command.arg(&self.folder).arg(self.number.to_string());
        Ok(command)
    }
}

/// This program again.
pub fn again(role: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role).stdin(Stdio::null());
    Ok(command)
}

/// A process that is killed with the end of this value.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answering process, started by the calling one.
pub fn serve(job: &Job, input: impl Into<Stdio>, output: impl Into<Stdio>) -> Result<Killed> {
    Ok(Killed(job.command("serve")?.stdin(input).stdout(output).spawn()?))
}

/// The same for those that need no descriptors.
pub fn serve_by_name(job: &Job) -> Result<Killed> {
    serve(job, Stdio::null(), Stdio::null())
}

/// What the calling process gave as standard input.
pub fn input() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// What it gave as standard output.
pub fn output() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// The kernel ends this process when the one that started it ends.
pub fn end_with_the_parent() {
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// The kernel ends this process in so many seconds.
pub fn end_after(seconds: u32) {
    // SAFETY: a number only.
    unsafe { libc::alarm(seconds) };
}

/// Whether somebody has asked this process to end since [`heed_interrupts`].
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on an interrupt is something to look for, so that nothing is left behind.
pub fn heed_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler = note_interrupt as extern "C" fn(libc::c_int);
        // SAFETY: a handler that does nothing but store into an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// The cores that this process may use.
pub fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: a set of bits; all of them zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` lives on the stack and has the size that is given.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: reads a bit of `set`; the numbers are below its size.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Restricts this thread, and those it starts, to these cores.
pub fn stay_on(cores: &[usize]) -> io::Result<()> {
    // SAFETY: as in `cores`.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for core in cores.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
        // SAFETY: sets a bit of `set`; the number is below its size.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: as in `cores`.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

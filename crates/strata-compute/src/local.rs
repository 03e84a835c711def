//! `Compute` on this machine: a program is a child process in a group of its own.
//!
//! What is enforced: the program sees only the environment it is given, no open
//! file of the cloud, and no standard input; the memory bound is `RLIMIT_DATA`,
//! which the kernel counts for each process of the program alone (heap and private
//! mappings, not shared file pages), so a program of several processes may hold
//! several times as much. When the program ends, by itself or by a signal, what is
//! left of its group is killed. A process that moves to another group or session
//! gets away from that.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strata_base::compute::{Compute, ComputeError, Exit, Process, Program, Signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{oneshot, watch};

use crate::guardian::Guardian;
use crate::lines::Lines;

/// Runs programs as child processes. They end with the cloud.
pub struct Local {
    launcher: Sender<Launch>,
}

struct Launch {
    command: Command,
    answer: oneshot::Sender<io::Result<Group>>,
}

impl Local {
    /// Starts the thread that starts all programs. It must be one thread that lives as long
    /// as the cloud: Linux sends the parent-death signal when the *thread* that forked ends,
    /// and a pool's threads come and go.
    pub fn new() -> Self {
        let (launcher, launches) = channel::<Launch>();
        let run = move || {
            let guardian = Arc::new(Mutex::new(Guardian::start()));
            for Launch { mut command, answer } in launches {
                let group = command.spawn().map(|child| Group::watch(child, guardian.clone()));
                // Our ends of the program's output pipe close here, so that its end is seen.
                drop(command);
                if let Err(Ok(unwanted)) = answer.send(group) {
                    unwanted.signal(Signal::Kill);
                }
            }
        };
        if let Err(cause) = std::thread::Builder::new().name("launcher".into()).spawn(run) {
            tracing::error!(%cause, "no thread to start programs from: every launch will fail");
        }
        Self { launcher }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Compute for Local {
    async fn launch(&self, program: &Program) -> Result<Box<dyn Process>, ComputeError> {
        let failed = |cause: String| {
            let shown = program.argv.first().unwrap_or(&program.name).clone();
            ComputeError::Start { program: shown, cause }
        };
        if !program.folder.is_dir() {
            return Err(failed(format!("working folder {} does not exist", program.folder.display())));
        }
        let (output, command) = prepare(program).map_err(|cause| failed(cause.to_string()))?;
        let (answer, launched) = oneshot::channel();
        let gone = || failed("the launcher thread is gone; restart the cloud".into());
        self.launcher.send(Launch { command, answer }).map_err(|_| gone())?;
        let group = launched.await.map_err(|_| gone())?.map_err(|cause| {
            failed(match cause.kind() {
                io::ErrorKind::NotFound => "not found; give its path, or add its folder to PATH".into(),
                _ => cause.to_string(),
            })
        })?;
        Ok(Box::new(LocalProcess {
            name: program.name.clone(),
            group,
            output: Some(output),
            lines: Lines::default(),
            _launcher: self.launcher.clone(),
        }))
    }
}

/// The command, and our end of the pipe that takes both of its outputs: with one pipe, lines
/// stay in the order they were written.
fn prepare(program: &Program) -> io::Result<(Receiver, Command)> {
    let (argv0, arguments) = program
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program was named"))?;
    let (ours, theirs) = io::pipe()?;
    let output = Receiver::from_owned_fd(ours.into())?;

    let inherited = ["PATH", "LANG", "LC_ALL", "LC_CTYPE"]
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
    let mut command = Command::new(argv0);
    command
        .args(arguments)
        .env_clear()
        .envs(inherited)
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(theirs.try_clone()?)
        .stderr(theirs);
    confine(&mut command, program.memory);
    Ok((output, command))
}

#[allow(unsafe_code)]
fn confine(command: &mut Command, memory: Option<u64>) {
    let cloud = std::process::id();
    let confine = move || {
        let bound = |resource, most: u64| {
            let limit = libc::rlimit { rlim_cur: most as _, rlim_max: most as _ };
            // SAFETY: the pointer is to a live struct.
            if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        };
        bound(libc::RLIMIT_CORE, 0)?;
        if let Some(most) = memory {
            bound(libc::RLIMIT_DATA, most)?;
        }
        #[cfg(target_os = "linux")]
        // SAFETY: both calls take plain numbers. A kernel older than 5.11 has no
        // CLOSE_RANGE_CLOEXEC; Rust's own files are closed on exec anyway.
        unsafe {
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The cloud may have died before the line above: then nobody would tell us.
            if libc::getppid() as u32 != cloud {
                libc::_exit(125);
            }
        }
        let _ = cloud;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made and nothing is
    // allocated (an error from the last OS error holds a number).
    unsafe { command.pre_exec(confine) };
}

/// A program's process group, until its leader is reaped.
#[derive(Clone)]
struct Group {
    /// `None` once reaped: the number may be another process's by then.
    leader: Arc<Mutex<Option<i32>>>,
    exit: watch::Receiver<Option<Result<Exit, String>>>,
}

impl Group {
    /// Starts the thread that waits for the leader's end.
    fn watch(mut child: Child, guardian: Arc<Mutex<Guardian>>) -> Self {
        let pid = child.id() as i32;
        let leader = Arc::new(Mutex::new(Some(pid)));
        let (ended, exit) = watch::channel(None);
        locked(&guardian).began(pid);
        let group = Self { leader: leader.clone(), exit };
        let wait = move || {
            await_exit(pid);
            // The dead leader still holds its number here, so nobody else can be hit.
            send(pid, libc::SIGKILL);
            locked(&guardian).ended(pid);
            let mut leader = locked(&leader);
            let status = child.wait();
            *leader = None;
            drop(leader);
            ended.send_replace(Some(match status {
                Ok(status) => Ok(match status.signal() {
                    Some(signal) => Exit::Signal(signal),
                    None => Exit::Code(status.code().unwrap_or(-1)),
                }),
                Err(cause) => Err(cause.to_string()),
            }));
        };
        let waiter = std::thread::Builder::new().name("waiter".into()).stack_size(128 * 1024).spawn(wait);
        if let Err(cause) = waiter {
            tracing::error!(%cause, pid, "no thread to wait for a program: killing it");
            send(pid, libc::SIGKILL);
        }
        group
    }

    fn signal(&self, signal: Signal) {
        let leader = locked(&self.leader);
        if let Some(pid) = *leader {
            send(
                pid,
                match signal {
                    Signal::Terminate => libc::SIGTERM,
                    Signal::Kill => libc::SIGKILL,
                },
            );
        }
    }
}

struct LocalProcess {
    name: String,
    group: Group,
    output: Option<Receiver>,
    lines: Lines,
    /// Keeps the launcher thread: the kernel ends the program with it.
    _launcher: Sender<Launch>,
}

/// After the program's end, how long to wait for output that a process which left the group
/// may still send; whatever the program itself wrote is in the pipe already.
const STRAGGLERS: Duration = Duration::from_millis(200);

#[async_trait]
impl Process for LocalProcess {
    async fn line(&mut self) -> Option<String> {
        let mut piece = [0; 8192];
        loop {
            if let Some(line) = self.lines.next() {
                return Some(line);
            }
            let Some(output) = &mut self.output else { return self.lines.last() };
            let over = async {
                // An error means that the waiter is gone, and the program with it.
                let _ = self.group.exit.wait_for(Option::is_some).await;
                tokio::time::sleep(STRAGGLERS).await;
            };
            let read = tokio::select! {
                biased;
                read = output.read(&mut piece) => read.unwrap_or(0),
                () = over => 0,
            };
            match read {
                0 => self.output = None,
                n => self.lines.feed(&piece[..n]),
            }
        }
    }

    async fn wait(&mut self) -> Result<Exit, ComputeError> {
        let lost = |cause: &str| ComputeError::Lost { program: self.name.clone(), cause: cause.into() };
        let exit = self.group.exit.wait_for(Option::is_some).await.map(|exit| exit.clone());
        match exit {
            Ok(Some(Ok(exit))) => Ok(exit),
            Ok(Some(Err(cause))) => Err(lost(&cause)),
            Ok(None) | Err(_) => Err(lost("nobody waited for it")),
        }
    }

    fn signaller(&self) -> Box<dyn Fn(Signal) + Send + Sync> {
        let group = self.group.clone();
        Box::new(move |signal| group.signal(signal))
    }
}

impl Drop for LocalProcess {
    /// A program that nobody listens to any more is ended.
    fn drop(&mut self) {
        self.group.signal(Signal::Kill);
    }
}

/// Bytes of memory of this machine; `None` where nobody says.
pub fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Blocks until the child ended, and leaves it to be reaped.
#[allow(unsafe_code)]
fn await_exit(pid: i32) {
    loop {
        // SAFETY: a zeroed siginfo is valid, and the pointer is to a live one.
        let done = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

#[allow(unsafe_code)]
fn send(group: i32, signal: i32) {
    // SAFETY: takes plain numbers; the callers hold the leader unreaped, so the group is ours.
    unsafe { libc::killpg(group, signal) };
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read};
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::Receiver;

    use super::*;

    fn shell(script: &str, folder: &Path) -> Program {
        Program {
            name: "test".into(),
            argv: ["/bin/sh", "-c", script].map(String::from).into(),
            env: vec![("GREETING".into(), "hello".into())],
            folder: folder.into(),
            memory: None,
        }
    }

    async fn run(program: &Program) -> (Vec<String>, Exit) {
        let mut process = Local::new().launch(program).await.expect("it starts");
        (all_lines(&mut *process).await, process.wait().await.expect("it ends"))
    }

    async fn all_lines(process: &mut dyn Process) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = process.line().await {
            lines.push(line);
        }
        lines
    }

    /// A named pipe. Reading it ends when everybody who holds it open for writing is dead.
    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("alive");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        path
    }

    /// Waits until the holders of the named pipe are dead; answers what they wrote.
    fn all_dead(path: &Path) -> Receiver<String> {
        let (done, dead) = channel();
        let path = path.to_path_buf();
        std::thread::spawn(move || {
            let mut text = String::new();
            File::open(path).and_then(|mut pipe| pipe.read_to_string(&mut text)).expect("the named pipe");
            let _ = done.send(text);
        });
        dead
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn output_comes_in_order_with_the_exit_code() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "echo $GREETING; echo oops >&2; echo three; printf four; exit 7";
        let (lines, exit) = run(&shell(script, folder.path())).await;
        assert_eq!(lines, ["hello", "oops", "three", "four"]);
        assert_eq!(exit, Exit::Code(7));
    }

    #[tokio::test]
    async fn a_program_sees_its_folder_and_nothing_of_the_cloud() {
        let folder = tempfile::tempdir().expect("a folder");
        let leak = File::open("/dev/null").expect("a file");
        // SAFETY: duplicates a live descriptor, without close-on-exec: what a C library may do.
        #[allow(unsafe_code)]
        let leaked = unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&leak)) };
        assert!(leaked > 2);
        let script = format!(
            "pwd; read -r line || echo nothing to read; [ -e /proc/$$/fd/{leaked} ] && echo leak; \
             env | grep -v -e ^PATH= -e ^PWD= -e ^LANG= -e ^LC_ -e ^_= -e ^SHLVL= -e ^OLDPWD="
        );
        let (lines, _) = run(&shell(&script, folder.path())).await;
        let pwd = folder.path().canonicalize().expect("a path").display().to_string();
        assert_eq!(lines, [&pwd, "nothing to read", "GREETING=hello"]);
    }

    #[tokio::test]
    async fn a_program_that_cannot_start_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let why = async |program: Program| match Local::new().launch(&program).await {
            Ok(_) => panic!("{program:?} started"),
            Err(cause) => cause.to_string(),
        };
        let argv = vec!["/no/such/program".to_string()];
        assert_eq!(
            why(Program { argv, ..shell("", folder.path()) }).await,
            "could not start program \"/no/such/program\": not found; give its path, or add its folder to PATH"
        );
        assert!(
            why(shell("", Path::new("/no/such/folder"))).await.contains("/no/such/folder does not exist")
        );
        assert!(
            why(Program { argv: vec![], ..shell("", folder.path()) }).await.contains("no program was named")
        );
    }

    #[tokio::test]
    async fn a_signal_reaches_the_whole_group() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = fifo(folder.path());
        let dead = all_dead(&pipe);
        let script = "exec 3>alive; trap 'echo asked; exit 3' TERM; sleep 1000 & echo up; wait";
        let mut process = Local::new().launch(&shell(script, folder.path())).await.expect("it starts");
        assert_eq!(process.line().await.as_deref(), Some("up"));
        let signaller = process.signaller();
        signaller(Signal::Terminate);
        assert_eq!(all_lines(&mut *process).await, ["asked"]);
        assert_eq!(process.wait().await.expect("it ends"), Exit::Code(3));
        dead.recv_timeout(SOON).expect("the grandchild is dead too");
        // Its number may be another's by now: a late signal goes nowhere.
        signaller(Signal::Kill);
    }

    #[tokio::test]
    async fn nothing_of_a_killed_or_finished_program_is_left() {
        for (script, kill) in [
            ("trap '' TERM; exec 3>alive; sleep 1000 & echo up; wait", true),
            ("exec 3>alive; sleep 1000 & echo up", false),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let dead = all_dead(&fifo(folder.path()));
            let local = Local::new();
            let mut process = local.launch(&shell(script, folder.path())).await.expect("it starts");
            assert_eq!(process.line().await.as_deref(), Some("up"));
            if kill {
                process.signaller()(Signal::Terminate);
                process.signaller()(Signal::Kill);
            }
            assert_eq!(all_lines(&mut *process).await, [""; 0]);
            let expected = if kill { Exit::Signal(libc::SIGKILL) } else { Exit::Code(0) };
            assert_eq!(process.wait().await.expect("it ends"), expected);
            dead.recv_timeout(SOON).expect("the grandchild is dead too");
        }
    }

    #[tokio::test]
    async fn dropping_a_process_ends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let dead = all_dead(&fifo(folder.path()));
        let local = Local::new();
        let mut process = local
            .launch(&shell("exec 3>alive; echo up; sleep 1000", folder.path()))
            .await
            .expect("it starts");
        assert_eq!(process.line().await.as_deref(), Some("up"));
        drop(process);
        dead.recv_timeout(SOON).expect("it is dead");
    }

    #[tokio::test]
    async fn a_reader_that_stops_reading_stops_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let script =
            "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345; i=$((i+1)); done; echo $i > done";
        let local = Local::new();
        let mut process = local.launch(&shell(script, folder.path())).await.expect("it starts");
        assert!(process.line().await.is_some());
        // The pipe holds 64 KiB of the 340 KB, so the writer cannot have come to its end.
        assert!(!folder.path().join("done").exists());
        assert_eq!(all_lines(&mut *process).await.len(), 19_999);
        assert_eq!(process.wait().await.expect("it ends"), Exit::Code(0));
        assert!(folder.path().join("done").exists());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn memory_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "x=0123456789abcdef; while :; do x=$x$x; done";
        let program = Program { memory: Some(64 << 20), ..shell(script, folder.path()) };
        let (_, exit) = run(&program).await;
        assert_ne!(exit, Exit::Code(0));
    }

    /// Not a test: the cloud that the next test kills.
    #[tokio::test]
    #[ignore = "run by nothing_outlives_a_killed_cloud"]
    async fn a_cloud_to_kill() {
        let Some(folder) = std::env::var_os("FOLDER_OF_A_CLOUD_TO_KILL") else { return };
        let script = "exec 3>alive; sleep 1000 & echo program is up; wait";
        let local = Local::new();
        let mut process = local.launch(&shell(script, Path::new(&folder))).await.expect("it starts");
        println!("{}", process.line().await.expect("a line"));
        std::future::pending::<()>().await;
    }

    #[test]
    fn nothing_outlives_a_killed_cloud() {
        let folder = tempfile::tempdir().expect("a folder");
        let dead = all_dead(&fifo(folder.path()));
        let mut cloud = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "local::tests::a_cloud_to_kill", "--ignored", "--nocapture"])
            .env("FOLDER_OF_A_CLOUD_TO_KILL", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(cloud.stdout.take().expect("its output")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("program is up")));
        cloud.kill().expect("kill -9");
        cloud.wait().expect("it ends");
        dead.recv_timeout(SOON).expect("program and grandchild are dead");
    }
}

//! The guardian: a tiny shell beside the cloud that ends the cloud's programs
//! when the cloud was killed.
//!
//! The kernel's parent-death signal reaches only a direct child; what that child
//! started itself would live on. The guardian is told every process group over a
//! pipe, and when the pipe closes, for whatever reason, it kills the groups that
//! are left.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
while read -r what group; do
    case $what in
        +) live="$live $group" ;;
        -) rest=
           for other in $live; do [ "$other" = "$group" ] || rest="$rest $other"; done
           live=$rest ;;
    esac
done
for group in $live; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

/// `None` inside where there is no shell: then only direct children die with the cloud.
pub struct Guardian(Option<Child>);

impl Guardian {
    pub fn start() -> Self {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            // A group of its own: an interrupt from the terminal ends the cloud, not its guardian.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let guardian = Self(shell.ok());
        if guardian.0.is_none() {
            tracing::warn!("no /bin/sh: what programs start themselves may outlive a killed cloud");
        }
        guardian
    }

    pub fn began(&mut self, group: i32) {
        self.tell(format_args!("+ {group}\n"));
    }

    /// To be called before the group's leader is reaped: its number may be another's after.
    pub fn ended(&mut self, group: i32) {
        self.tell(format_args!("- {group}\n"));
    }

    fn tell(&mut self, line: std::fmt::Arguments) {
        if let Some(pipe) = self.0.as_mut().and_then(|shell| shell.stdin.as_mut())
            && let Err(cause) = pipe.write_all(line.to_string().as_bytes())
        {
            tracing::warn!(%cause, "the guardian of child processes is gone");
            self.0 = None;
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Some(mut shell) = self.0.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

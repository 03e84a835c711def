//! Why a program failed, in AWS's form and in words a person can act on.

use std::io::Read;
use std::path::Path;

use strata_base::compute::Exit;

/// AWS's limit of a FailureReason, in characters.
pub const LONGEST: usize = 1024;

/// More of the failure file is not read.
const MOST_READ: u64 = 64 * 1024;

const SIGTERM: i32 = 15;

/// `None` when the program ended well. `failure` is what it wrote to `output/failure`.
pub fn of(exit: &Exit, failure: &str, last_line: &str, memory: Option<u64>) -> Option<String> {
    let text = failure.trim();
    let last_line = last_line.trim();
    let (code, said) = match exit {
        Exit::Code(0) => return None,
        Exit::Code(code) => (*code, String::new()),
        Exit::Signal(signal) => {
            (128 + signal, format!("the program was ended by signal {signal} ({})", signal_name(*signal)))
        }
    };
    let told = if text.is_empty() && !last_line.is_empty() {
        format!("its last log line is: {last_line}")
    } else {
        text.to_string()
    };
    let starved = match exit {
        // The kernel's way when memory is short; nobody here kills a program before asking it.
        Exit::Signal(9) => true,
        _ => OUT_OF_MEMORY.iter().any(|sign| last_line.contains(sign) || text.contains(sign)),
    };
    let hint = match (starved, memory) {
        (false, _) => String::new(),
        (true, Some(most)) => {
            format!(
                "it probably ran out of memory (bound: {} MiB); use less data or smaller settings",
                most >> 20
            )
        }
        (true, None) => "it probably ran out of memory; use less data or smaller settings".into(),
    };
    let parts: Vec<&str> =
        [said.as_str(), told.as_str(), hint.as_str()].into_iter().filter(|p| !p.is_empty()).collect();
    let body = if parts.is_empty() {
        "the program ended without saying why; see its log stream".to_string()
    } else {
        parts.join("; ")
    };
    let classed = ["ClientError:", "AlgorithmError:", "InternalServerError:"]
        .iter()
        .any(|class| body.starts_with(class));
    let class = if classed { "" } else { "AlgorithmError: " };
    Some(cut(&format!("{class}{body}"), &format!(", exit code: {code}")))
}

/// What allocators and runtimes print when memory is out.
const OUT_OF_MEMORY: &[&str] =
    &["memory allocation of", "std::bad_alloc", "MemoryError", "Out of memory", "Cannot allocate memory"];

/// The text, cut so that the ending fits in AWS's limit too.
pub fn cut(text: &str, ending: &str) -> String {
    let room = LONGEST - ending.chars().count().min(LONGEST);
    if text.chars().count() <= room {
        return format!("{text}{ending}");
    }
    let kept: String = text.chars().take(room.saturating_sub(3)).collect();
    format!("{kept}...{ending}")
}

/// The beginning of `output/failure`; empty where there is none.
pub fn read(path: &Path) -> String {
    // A pipe or a device in its place would block or never end.
    if !std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return String::new();
    }
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(MOST_READ).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        SIGTERM => "SIGTERM",
        _ => "see signal(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(exit: Exit, failure: &str, last_line: &str, expected: &str) {
        assert_eq!(of(&exit, failure, last_line, Some(64 << 20)).as_deref(), Some(expected));
    }

    #[test]
    fn reasons_say_what_a_person_needs() {
        assert_eq!(of(&Exit::Code(0), "ignored", "", None), None);
        check(
            Exit::Code(1),
            "ClientError: channel \"train\", row 17, column 3: \"abc\" is not a number\n",
            "whatever",
            "ClientError: channel \"train\", row 17, column 3: \"abc\" is not a number, exit code: 1",
        );
        check(Exit::Code(2), "boom", "", "AlgorithmError: boom, exit code: 2");
        check(
            Exit::Code(3),
            "",
            "ValueError: x",
            "AlgorithmError: its last log line is: ValueError: x, exit code: 3",
        );
        check(
            Exit::Code(1),
            "",
            "",
            "AlgorithmError: the program ended without saying why; see its log stream, exit code: 1",
        );
        check(
            Exit::Signal(9),
            "",
            "",
            "AlgorithmError: the program was ended by signal 9 (SIGKILL); it probably ran out of memory (bound: 64 MiB); \
             use less data or smaller settings, exit code: 137",
        );
        check(
            Exit::Signal(6),
            "",
            "memory allocation of 99 bytes failed",
            "AlgorithmError: the program was ended by signal 6 (SIGABRT); its last log line is: memory allocation of 99 bytes failed; \
             it probably ran out of memory (bound: 64 MiB); use less data or smaller settings, exit code: 134",
        );
        check(
            Exit::Signal(11),
            "",
            "",
            "AlgorithmError: the program was ended by signal 11 (SIGSEGV), exit code: 139",
        );
    }

    #[test]
    fn long_reasons_are_cut_and_keep_their_exit_code() {
        let reason = of(&Exit::Code(1), &"ä".repeat(5000), "", None).expect("a reason");
        assert_eq!(reason.chars().count(), LONGEST);
        assert!(
            reason.starts_with("AlgorithmError: ä") && reason.ends_with("ä..., exit code: 1"),
            "{reason}"
        );
    }
}

//! Log lines as AWS's container prints them: tuning jobs and the SDKs read figures from them.

use std::time::{SystemTime, UNIX_EPOCH};

/// One measured figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    /// A loss is better when small, a score when large.
    pub is_loss: bool,
}

impl Figure {
    pub fn loss(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, is_loss: true }
    }

    pub fn score(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, is_loss: false }
    }

    fn assigned(&self) -> String {
        let kind = if self.is_loss { "loss" } else { "score" };
        format!("{} <{kind}>={}", self.name, self.value)
    }
}

/// Where the lines of a job go.
pub struct Report<'a> {
    host: String,
    print: &'a mut dyn FnMut(&str),
}

impl<'a> Report<'a> {
    pub fn new(host: &str, print: &'a mut dyn FnMut(&str)) -> Self {
        let host = if host.is_empty() { "algo-1" } else { host };
        Self { host: host.to_owned(), print }
    }

    pub fn info(&mut self, text: &str) {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        let line = format!("[{} INFO {}] {text}", clock(seconds), std::process::id());
        (self.print)(&line);
    }

    pub fn epoch(&mut self, epoch: usize, channel: &str, figure: &Figure) {
        let host = self.host.clone();
        self.info(&format!("#quality_metric: host={host}, epoch={epoch}, {channel} {}", figure.assigned()));
    }

    pub fn stopping_criterion(&mut self, epoch: usize, name: &str, value: f64) {
        let host = self.host.clone();
        self.info(&format!(
            "#early_stopping_criteria_metric: host={host}, epoch={epoch}, criteria={name}, value={value}"
        ));
    }

    pub fn progress(&mut self, done: usize, of: usize) {
        let host = self.host.clone();
        self.info(&format!(
            "#progress_metric: host={host}, completed {} % of epochs",
            done * 100 / of.max(1)
        ));
    }

    pub fn throughput(&mut self, rows: usize, seconds: f64) {
        let host = self.host.clone();
        let rate = rows as f64 / seconds.max(1e-9);
        self.info(&format!("#throughput_metric: host={host}, train throughput={rate} records/second"));
    }

    /// The figures of the finished model on a channel.
    pub fn finished(&mut self, channel: &str, figures: &[Figure]) {
        let host = self.host.clone();
        for figure in figures {
            self.info(&format!("#{channel}_score ({host}) : ('{}', {})", figure.name, figure.value));
        }
        for figure in figures {
            self.info(&format!("#quality_metric: host={host}, {channel} {}", figure.assigned()));
        }
    }
}

/// `11/24/2020 18:53:56`, in UTC.
fn clock(seconds: u64) -> String {
    // Days since 1970 to a date, after Howard Hinnant's `civil_from_days`.
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{month:02}/{day:02}/{year} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(clock(0), "01/01/1970 00:00:00");
        assert_eq!(clock(1_606_244_036), "11/24/2020 18:53:56");
        assert_eq!(clock(1_709_251_199), "02/29/2024 23:59:59");
    }

    #[test]
    fn lines_have_the_containers_form() {
        let mut lines = Vec::new();
        let mut print =
            |line: &str| lines.push(line.split_once("] ").map_or("", |(_, text)| text).to_owned());
        let mut report = Report::new("", &mut print);
        report.epoch(0, "train", &Figure::loss("mse_objective", 0.5));
        report.progress(1, 15);
        report.finished("test", &[Figure::score("precision", 0.25)]);
        assert_eq!(
            lines,
            [
                "#quality_metric: host=algo-1, epoch=0, train mse_objective <loss>=0.5",
                "#progress_metric: host=algo-1, completed 6 % of epochs",
                "#test_score (algo-1) : ('precision', 0.25)",
                "#quality_metric: host=algo-1, test precision <score>=0.25",
            ]
        );
    }
}

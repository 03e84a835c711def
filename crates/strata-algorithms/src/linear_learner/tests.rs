use std::fs;
use std::path::Path;

use strata_base::predictor::Request;

use super::*;
use crate::Channel;

/// A job in a folder of its own.
struct Trial {
    folder: tempfile::TempDir,
    job: Job,
    lines: Vec<String>,
}

impl Trial {
    fn new(hyperparameters: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hyperparameters = hyperparameters.split_whitespace().filter_map(|pair| pair.split_once('='));
        let job = Job {
            hyperparameters: hyperparameters.map(|(name, value)| (name.into(), value.into())).collect(),
            model: folder.path().join("model"),
            threads: 1,
            host: "algo-1".into(),
            ..Job::default()
        };
        Self { folder, job, lines: Vec::new() }
    }

    fn channel(mut self, name: &str, csv: &str) -> Self {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rows.csv"), csv).unwrap();
        let channel =
            Channel { name: name.into(), folder, content_type: "text/csv".into(), ..Channel::default() };
        self.job.channels.insert(name.into(), channel);
        self
    }

    fn run(&mut self) -> Result<(), TrainError> {
        let lines = &mut self.lines;
        train(&self.job, &mut |line| lines.push(line.to_owned()))
    }

    fn fails(mut self) -> String {
        self.run().unwrap_err().to_string()
    }

    fn model(mut self) -> Model {
        self.run().unwrap_or_else(|error| panic!("{error}\n{}", self.lines.join("\n")));
        Model::load(&self.job.model).unwrap()
    }

    fn bytes(mut self) -> Vec<u8> {
        self.run().unwrap();
        fs::read(self.job.model.join(model::FILE)).unwrap()
    }
}

//! What the reader promises, on small files and on arbitrary ones.

use std::fs;
use std::io::Write;

use proptest::prelude::*;

use super::*;

/// A channel `train` with these files.
fn channel(content_type: &str, files: &[(&str, &[u8])]) -> (tempfile::TempDir, Channel) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let channel = Channel {
        name: "train".into(),
        folder: folder.path().into(),
        content_type: content_type.into(),
        ..Channel::default()
    };
    (folder, channel)
}

fn read(content_type: &str, files: &[(&str, &[u8])], threads: usize) -> Result<Table, ReadError> {
    let (_folder, channel) = channel(content_type, files);
    read_all(&channel, &Layout::of(&channel, "text/csv")?, threads)
}

fn error(content_type: &str, text: &str) -> String {
    read(content_type, &[("a", text.as_bytes())], 2).unwrap_err().to_string()
}

/// Rows as text, missing values as `_`.
fn show(batch: &Batch) -> String {
    let word = |value: &f32| if value.is_nan() { "_".to_owned() } else { value.to_string() };
    let row = |row: usize| {
        let mut words = Vec::new();
        words.extend(batch.labels.get(row).map(|label| format!("{label} |")));
        words.extend(batch.weights.get(row).map(|weight| format!("w{weight}")));
        words.extend(batch.groups.get(row).map(|group| format!("q{group}")));
        match &batch.features {
            Features::Dense { width, values } => {
                words.extend(values[row * width..(row + 1) * width].iter().map(word));
            }
            Features::Sparse { starts, columns, values, .. } => {
                let range = starts[row]..starts[row + 1];
                words.extend(range.map(|at| format!("{}:{}", columns[at], word(&values[at]))));
            }
        }
        words.join(" ")
    };
    (0..batch.rows()).map(row).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(content_type: &str, text: &str, expected: &str) {
    for threads in [1, 3] {
        let table = read(content_type, &[("data", text.as_bytes())], threads).unwrap();
        assert_eq!(show(&table.into_batch()), expected);
    }
}

#[test]
fn csv_has_the_label_first() {
    check("text/csv", "1,2.5,-3\n0,4e2,.5\n", "1 | 2.5 -3\n0 | 400 0.5");
    check("text/csv;label_size=0", "1,2.5\n0,4\n", "1 2.5\n0 4");
    check("text/csv; charset=utf8; label_size=1", "1,2", "1 | 2");
}

#[test]
fn csv_as_programs_write_it() {
    check("csv", "1,2\r\n3,4\r\n\r\n", "1 | 2\n3 | 4");
    check("text/csv", "\"1\",\"2.5\"\n 3 , \"4\" \n", "1 | 2.5\n3 | 4");
    check("text/csv", "1,,nan,NA,NaN,\n2,1,2,3,4,5", "1 | _ _ _ _ _\n2 | 1 2 3 4 5");
    check("text/csv", "\u{feff}1,2\n\n\n3,4\n\n", "1 | 2\n3 | 4");
    check("text/csv", "1;2\n3;\n", "1 | 2\n3 | _");
    check("text/csv", "1\t2\t3\n\t\t\n".trim_end(), "1 | 2 3");
}

#[test]
fn csv_weights_stand_second() {
    let (_bad_folder, bad) = channel("text/csv", &[("a", b"1,-0.5,7\n")]);
    let (_folder, channel) = channel("text/csv", &[("a", b"1,0.5,7\n0,2,8\n")]);
    let layout = Layout { weights: true, ..Layout::of(&channel, "").unwrap() };
    let table = read_all(&channel, &layout, 2).unwrap();
    assert_eq!((table.rows, table.width), (2, 1));
    assert_eq!(show(&table.into_batch()), "1 | w0.5 7\n0 | w2 8");
    let sentence = read_all(&bad, &layout, 1).unwrap_err().to_string();
    assert_eq!(sentence, r#"channel "train", row 1, column 2: weight "-0.5" is not a number of 0 or more"#);
}

#[test]
fn libsvm_keeps_indices_as_given() {
    check("text/libsvm", "1 1:2 3:4.5 # remark\n\n0:0.5 0:1\n", "1 | w1 1:2 3:4.5\n0 | w0.5 0:1");
    check("text/x-libsvm", "2 qid:7 1:1\n1 qid:8\n", "2 | q7 1:1\n1 | q8");
    let table = read("libsvm", &[("a", b"1 9:1\n"), ("b", b"1 4:1\n")], 1).unwrap();
    assert_eq!(table.width, 10);
}

#[test]
fn errors_name_the_cell() {
    let row17 = "1,2,3\n".repeat(16) + "1,2,abc\n1,x,y\n";
    assert_eq!(error("text/csv", &row17), r#"channel "train", row 17, column 3: "abc" is not a number"#);
    let cases = [
        ("text/csv", "1,2\n1,2,3\n", "row 2: has 3 columns, but 2 are expected, as in the first row"),
        ("text/csv", "1,2\n1\n", "row 2: has 1 columns, but 2 are expected, as in the first row"),
        ("text/csv", "1,2\n1,\"2\n", "row 2, column 2: a quote is opened and not closed"),
        ("text/csv", "1,2\n1,1e99\n", "row 2, column 2: \"1e99\" is not a finite 32-bit number"),
        ("text/csv", "1,2\n1,-inf\n", "row 2, column 2: \"-inf\" is not a finite 32-bit number"),
        ("text/csv", "1,2\n,2\n", "row 2, column 1: the label is missing"),
        ("text/csv", "1,2\n1,2 3\n", "row 2, column 2: \"2 3\" is not a number"),
        (
            "text/csv",
            "1,\"2,3\"\n",
            "row 1, column 2: \"2,3\" is not a number; training data has no header \
                                     row, remove it if this is one",
        ),
        ("text/libsvm", "1 1:1\nx 1:1\n", "row 2, column 1: \"x\" is not a number"),
        ("text/libsvm", "1 1:1\n1 1:1 2\n", "row 2: \"2\" is not of the form index:value"),
        ("text/libsvm", "1 -1:1\n", "row 1: \"-1\" is not a feature index (0 to 2147483646)"),
        ("text/libsvm", "1 4294967296:1\n", "row 1: \"4294967296\" is not a feature index (0 to 2147483646)"),
        ("text/libsvm", "1 1:one\n", "row 1, index 1: \"one\" is not a number"),
        ("text/libsvm", "1 qid:x 1:1\n", "row 1: qid \"x\" is not a whole number of 0 or more"),
        ("text/libsvm", "1:-1 1:1\n", "row 1, column 1: weight \"-1\" is not a number of 0 or more"),
    ];
    for (content_type, text, expected) in cases {
        assert_eq!(error(content_type, text), format!("channel \"train\", {expected}"));
    }
}

#[test]
fn errors_name_the_file_where_there_are_several() {
    let files: &[(&str, &[u8])] = &[("part/b.csv", b"1,2\n1,x\n"), ("a.csv", b"1,2\n1,2\n1,2\n")];
    for threads in [1, 2, 4] {
        let sentence = read("text/csv", files, threads).unwrap_err().to_string();
        assert_eq!(sentence, r#"channel "train", file "part/b.csv", row 2, column 2: "x" is not a number"#);
    }
    let table = read("text/csv", &[("a", b"1,2\n1,2\n"), ("b", b"3,4\n")], 2).unwrap();
    assert_eq!(table.places.of(2).to_string(), r#"channel "train", file "b", row 1"#);
    assert_eq!(table.places.of(1).to_string(), r#"channel "train", file "a", row 2"#);
}

#[test]
fn nothing_to_read_is_an_error() {
    let empty = r#"channel "train" has no rows; put at least one file with data under its S3 prefix"#;
    for files in [&[][..], &[("a", &b""[..])], &[("a", b"\n\r\n  \n")], &[("_SUCCESS", b"1,2")]] {
        for content_type in ["text/csv", "text/libsvm"] {
            assert_eq!(read(content_type, files, 2).unwrap_err().to_string(), empty);
        }
    }
    let nowhere = Channel { name: "train".into(), folder: "/no/such/folder".into(), ..Channel::default() };
    let sentence = read_all(&nowhere, &Layout::CSV, 1).unwrap_err().to_string();
    assert_eq!(sentence, r#"channel "train" has no folder "/no/such/folder""#);
}

#[test]
fn content_types_that_are_not_read() {
    assert_eq!(
        error("application/x-parquet", "1"),
        r#"channel "train": content type "application/x-parquet" is not one of text/csv, text/libsvm"#
    );
    assert!(error("text/csv;label_size=2", "1").contains("label_size that is not 0 or 1"));
}

#[test]
fn gzip_is_unpacked_and_damage_is_named() {
    let mut packed = Vec::new();
    for part in ["1,2\n", "3,4\n"] {
        let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    let table = read("text/csv", &[("a.gz", &packed)], 2).unwrap();
    assert_eq!(show(&table.into_batch()), "1 | 2\n3 | 4");
    let sentence = read("text/csv", &[("a.gz", &packed[..20])], 2).unwrap_err().to_string();
    assert!(sentence.starts_with(r#"channel "train", file "a.gz": "#), "{sentence}");
}

#[test]
fn a_fixed_width_is_checked() {
    let (_folder, channel) = channel("text/csv", &[("a", b"1,2,3\n")]);
    let layout = Layout { width: Some(3), ..Layout::CSV };
    let sentence = read_all(&channel, &layout, 1).unwrap_err().to_string();
    assert_eq!(sentence, r#"channel "train", row 1: has 2 features, but 3 are expected"#);
}

#[test]
fn many_chunks_come_in_order_and_in_batches_of_any_size() {
    let line = |row: usize| format!("{row},{}.25,{}\n", row % 977, row * 3 % 101);
    let rows = 200_000;
    let text: String = (0..rows).map(line).collect();
    assert!(text.len() > 2 << 20, "several chunks");
    let (_folder, channel) = channel("text/csv", &[("a", text.as_bytes()), ("b", b"7,8,9")]);
    let whole = read_all(&channel, &Layout::CSV, 1).unwrap().into_batch();
    assert_eq!(whole.rows(), rows + 1);
    assert!(whole.labels[..rows].iter().enumerate().all(|(row, label)| *label == row as f32));
    for threads in [2, 5] {
        assert_eq!(read_all(&channel, &Layout::CSV, threads).unwrap().into_batch(), whole);
    }
    for (threads, size) in [(1, 1000), (3, 70_001), (2, usize::MAX)] {
        let mut reader = Reader::open_parallel(&channel, &Layout::CSV, threads).unwrap();
        let mut together = Batch::default();
        while let Some(batch) = reader.next_batch(size).unwrap() {
            assert_eq!(batch.first_row, together.rows());
            assert!(batch.rows() == size || batch.first_row + batch.rows() == rows + 1);
            together.append(batch);
        }
        assert_eq!(together, whole);
        assert_eq!(reader.places().of(rows).to_string(), r#"channel "train", file "b", row 1"#);
    }
}

proptest! {
    #[test]
    fn csv_numbers_come_back(
        rows in prop::collection::vec((any::<f32>(), prop::option::of(any::<f32>()), any::<f32>()), 1..40),
        crlf: bool,
    ) {
        let rows: Vec<_> = rows.into_iter().filter(|(a, b, c)| {
            a.is_finite() && c.is_finite() && b.is_none_or(f32::is_finite)
        }).collect();
        prop_assume!(!rows.is_empty());
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = rows.iter().map(|(a, b, c)| {
            format!("{a},{},{c:e}{end}", b.map(|b| b.to_string()).unwrap_or_default())
        }).collect();
        let batch = read("text/csv", &[("a", text.as_bytes())], 2).unwrap().into_batch();
        let Features::Dense { values, .. } = &batch.features else { panic!("csv is dense") };
        for (row, (a, b, c)) in rows.iter().enumerate() {
            prop_assert_eq!(batch.labels[row].to_bits(), a.to_bits());
            prop_assert_eq!(values[row * 2 + 1].to_bits(), c.to_bits());
            match b {
                Some(b) => prop_assert_eq!(values[row * 2].to_bits(), b.to_bits()),
                None => prop_assert!(values[row * 2].is_nan()),
            }
        }
    }

    /// Whatever the bytes: no panic, and the same answer on any number of threads.
    #[test]
    fn any_bytes_give_rows_or_a_sentence(
        content in prop::collection::vec(prop::sample::select(b"01.,\n\r\";: -e#qidnaNAx\t\xff".to_vec()), 0..300),
        libsvm: bool,
    ) {
        let content_type = if libsvm { "text/libsvm" } else { "text/csv" };
        let answer = |threads| match read(content_type, &[("a", &content)], threads) {
            Ok(table) => show(&table.into_batch()),
            Err(error) => error.to_string(),
        };
        prop_assert_eq!(answer(1), answer(3));
    }
}

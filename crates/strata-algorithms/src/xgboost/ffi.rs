//! The XGBoost library behind a safe face: the only module here that speaks C.
//!
//! The library is loaded at run time, in the process of the job. What it reads while a matrix is
//! built is borrowed from the caller for just that long; what it returns is copied before its
//! next call.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_float, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use serde_json::json;

use crate::reader::{Batch, Features};

/// A sentence of the library, without its stack trace.
pub type Result<T> = std::result::Result<T, String>;

type Handle = *mut c_void;
type Text = *const c_char;
type Reset = unsafe extern "C" fn(Handle);
type Next = unsafe extern "C" fn(Handle) -> c_int;

/// Declares the functions that are used, and looks them up by name.
macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        #[allow(non_snake_case)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> c_int,)*
            XGBGetLastError: unsafe extern "C" fn() -> Text,
            XGBoostVersion: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int),
            /// Keeps the code in memory; dropped last.
            _library: libloading::Library,
        }

        impl Functions {
            fn look_up(library: libloading::Library) -> std::result::Result<Self, libloading::Error> {
                // SAFETY: the types are those of XGBoost's `c_api.h` 3.2; the pinned hash of the
                // package says that it is this version.
                unsafe {
                    Ok(Self {
                        $($name: *library.get(stringify!($name).as_bytes())?,)*
                        XGBGetLastError: *library.get(b"XGBGetLastError")?,
                        XGBoostVersion: *library.get(b"XGBoostVersion")?,
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    XGDMatrixCreateFromDense(Text, Text, *mut Handle);
    XGDMatrixCreateFromCSR(Text, Text, Text, u64, Text, *mut Handle);
    XGQuantileDMatrixCreateFromCallback(Handle, Handle, Handle, Reset, Next, Text, *mut Handle);
    XGProxyDMatrixCreate(*mut Handle);
    XGProxyDMatrixSetDataDense(Handle, Text);
    XGDMatrixSetInfoFromInterface(Handle, Text, Text);
    XGDMatrixFree(Handle);
    XGBoosterCreate(*const Handle, u64, *mut Handle);
    XGBoosterSetParam(Handle, Text, Text);
    XGBoosterSetAttr(Handle, Text, Text);
    XGBoosterGetAttr(Handle, Text, *mut Text, *mut c_int);
    XGBoosterUpdateOneIter(Handle, c_int, Handle);
    XGBoosterEvalOneIter(Handle, c_int, *const Handle, *const Text, u64, *mut Text);
    XGBoosterPredictFromDMatrix(Handle, Handle, Text, *mut *const u64, *mut u64, *mut *const c_float);
    XGBoosterSlice(Handle, c_int, c_int, c_int, *mut Handle);
    XGBoosterSaveModelToBuffer(Handle, Text, *mut u64, *mut *const c_char);
    XGBoosterLoadModelFromBuffer(Handle, *const c_void, u64);
    XGBoosterFree(Handle);
}

/// The loaded library.
#[derive(Clone)]
pub struct Library(Arc<Functions>);

impl Library {
    /// Loads the library. No other thread may change the environment meanwhile.
    pub fn open(path: &Path) -> Result<Self> {
        if std::env::var_os("OMP_WAIT_POLICY").is_none() {
            // SAFETY: the threads of a job that may exist by now read files only; the environment
            // is neither theirs nor, before it is loaded, the library's.
            // OpenMP looks at it as it is loaded. Waiting threads that spin made training 3 to 9
            // times slower where other work has the cores.
            unsafe { std::env::set_var("OMP_WAIT_POLICY", "PASSIVE") };
        }
        let failed = |error: libloading::Error| format!("could not load {}: {error}", path.display());
        // SAFETY: the initialisers of the library set up OpenMP and its own registries only.
        let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
        Ok(Self(Arc::new(Functions::look_up(library).map_err(failed)?)))
    }

    pub fn version(&self) -> String {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: three valid places to write to.
        unsafe { (self.0.XGBoostVersion)(&mut major, &mut minor, &mut patch) };
        format!("{major}.{minor}.{patch}")
    }

    /// Turns the library's status into a result.
    fn check(&self, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a string that lives until its next call on this thread.
        let words = unsafe { CStr::from_ptr((self.0.XGBGetLastError)()) };
        Err(first_sentence(&words.to_string_lossy()))
    }
}

/// `[12:34:56] /src/file.cc:123: Check failed: ...\nStack trace: ...` without what only the
/// library's authors need.
fn first_sentence(words: &str) -> String {
    let words = words.split("Stack trace:").next().unwrap_or_default().trim();
    let is_place = |place: &str| {
        let line = place.rsplit_once(':').map(|(_file, line)| line);
        place.starts_with('[') && line.is_some_and(|line| line.parse::<u32>().is_ok())
    };
    let told = match words.split_once(": ") {
        Some((place, told)) if is_place(place) => told,
        _ => words,
    };
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows in the library's own form.
pub struct Matrix {
    library: Library,
    handle: Handle,
}

/// How the library is to read values.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub threads: usize,
    /// For quantised matrices.
    pub max_bin: i64,
}

impl Matrix {
    /// All values kept, for tree methods that look at each of them.
    pub fn plain(library: &Library, batch: &Batch, reading: Reading) -> Result<Self> {
        let config = config(json!({ "missing": MISSING, "nthread": reading.threads }))?;
        let mut matrix = Self { library: library.clone(), handle: ptr::null_mut() };
        let functions = &library.0;
        let status = match &batch.features {
            Features::Dense { width, values } => {
                let values = dense(values, *width)?;
                // SAFETY: the interface describes memory that `batch` holds during the call.
                unsafe {
                    (functions.XGDMatrixCreateFromDense)(values.as_ptr(), config.as_ptr(), &mut matrix.handle)
                }
            }
            Features::Sparse { width, starts, columns, values } => {
                let starts: Vec<u64> = starts.iter().map(|start| *start as u64).collect();
                let interfaces = (row(&starts, "<u8")?, row(columns, "<u4")?, row(values, "<f4")?);
                // SAFETY: as above; the reader made rows that begin and end inside the values.
                unsafe {
                    (functions.XGDMatrixCreateFromCSR)(
                        interfaces.0.as_ptr(),
                        interfaces.1.as_ptr(),
                        interfaces.2.as_ptr(),
                        *width as u64,
                        config.as_ptr(),
                        &mut matrix.handle,
                    )
                }
            }
        };
        library.check(status)?;
        matrix.describe(batch)?;
        Ok(matrix)
    }

    /// Values replaced by the number of their bin, one byte each at up to 256 bins: all that
    /// `hist` needs. The pieces are read several times and never stand together in memory. The
    /// bins are those of `like`, else made from the data.
    pub fn quantised(
        library: &Library,
        pieces: &[Batch],
        reading: Reading,
        like: Option<&Matrix>,
    ) -> Result<Self> {
        let config =
            config(json!({ "missing": MISSING, "nthread": reading.threads, "max_bin": reading.max_bin }))?;
        let proxy = Self::proxy(library)?;
        let mut feed = Feed { proxy: &proxy, pieces, next: 0, failed: None };
        let mut matrix = Self { library: library.clone(), handle: ptr::null_mut() };
        // SAFETY: `feed`, `proxy` and the pieces outlive the call, after which the library keeps
        // neither; the callbacks get `feed` back and nothing else has a reference to it then.
        let status = unsafe {
            (library.0.XGQuantileDMatrixCreateFromCallback)(
                (&raw mut feed).cast(),
                proxy.handle,
                like.map_or(ptr::null_mut(), |like| like.handle),
                Feed::reset,
                Feed::next,
                config.as_ptr(),
                &mut matrix.handle,
            )
        };
        match feed.failed.take() {
            Some(failed) => Err(failed),
            None => library.check(status).map(|()| matrix),
        }
    }

    fn proxy(library: &Library) -> Result<Self> {
        let mut matrix = Self { library: library.clone(), handle: ptr::null_mut() };
        // SAFETY: a valid place to write the handle to.
        let status = unsafe { (library.0.XGProxyDMatrixCreate)(&mut matrix.handle) };
        library.check(status).map(|()| matrix)
    }

    /// Sets what goes with the rows: labels, weights, queries. The library copies it.
    fn describe(&self, batch: &Batch) -> Result<()> {
        self.set("label", row(&batch.labels, "<f4")?)?;
        if !batch.weights.is_empty() {
            self.set("weight", row(&batch.weights, "<f4")?)?;
        }
        if !batch.groups.is_empty() {
            self.set("qid", row(&batch.groups, "<u8")?)?;
        }
        Ok(())
    }

    fn set(&self, field: &str, values: CString) -> Result<()> {
        let field = text(field)?;
        // SAFETY: `values` describes memory that the caller of `describe` holds.
        let status = unsafe {
            (self.library.0.XGDMatrixSetInfoFromInterface)(self.handle, field.as_ptr(), values.as_ptr())
        };
        self.library.check(status)
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is the library's and used by nobody else any more.
            unsafe { (self.library.0.XGDMatrixFree)(self.handle) };
        }
    }
}

/// Hands pieces to the library, as often as it asks for them.
struct Feed<'a> {
    proxy: &'a Matrix,
    pieces: &'a [Batch],
    next: usize,
    failed: Option<String>,
}

impl Feed<'_> {
    unsafe extern "C" fn reset(feed: Handle) {
        // SAFETY: `feed` is what `quantised` gave to the library, which calls from one thread.
        unsafe { (*feed.cast::<Feed<'_>>()).next = 0 };
    }

    /// 1 where a piece was set, 0 after the last. Must not panic: C is below.
    unsafe extern "C" fn next(feed: Handle) -> c_int {
        // SAFETY: as above.
        let feed = unsafe { &mut *feed.cast::<Feed<'_>>() };
        let Some(piece) = feed.pieces.get(feed.next) else { return 0 };
        feed.next += 1;
        match feed.show(piece) {
            Ok(()) => 1,
            Err(cause) => {
                feed.failed = Some(cause);
                0
            }
        }
    }

    fn show(&self, piece: &Batch) -> Result<()> {
        let Features::Dense { width, values } = &piece.features else {
            return Err("only dense rows are quantised".to_owned());
        };
        let values = dense(values, *width)?;
        let library = &self.proxy.library;
        // SAFETY: the interface describes memory that the pieces hold while the library reads.
        let status = unsafe { (library.0.XGProxyDMatrixSetDataDense)(self.proxy.handle, values.as_ptr()) };
        library.check(status)?;
        self.proxy.describe(piece)
    }
}

/// A model under training.
pub struct Booster {
    library: Library,
    handle: Handle,
}

impl Booster {
    /// A new model for these matrices; the first is the one to train on.
    pub fn new(library: &Library, matrices: &[&Matrix]) -> Result<Self> {
        let handles: Vec<Handle> = matrices.iter().map(|matrix| matrix.handle).collect();
        let mut booster = Self { library: library.clone(), handle: ptr::null_mut() };
        // SAFETY: as many handles as said; the library counts its own references to them.
        let status = unsafe {
            (library.0.XGBoosterCreate)(handles.as_ptr(), handles.len() as u64, &mut booster.handle)
        };
        library.check(status).map(|()| booster)
    }

    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: two strings that live during the call.
        let status =
            unsafe { (self.library.0.XGBoosterSetParam)(self.handle, name.as_ptr(), value.as_ptr()) };
        self.library.check(status)
    }

    /// Sets a text that is saved with the model.
    pub fn note(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: as above.
        let status = unsafe { (self.library.0.XGBoosterSetAttr)(self.handle, name.as_ptr(), value.as_ptr()) };
        self.library.check(status)
    }

    /// A text that was saved with the model.
    pub fn noted(&self, name: &str) -> Result<Option<String>> {
        let name = text(name)?;
        let (mut value, mut found) = (ptr::null(), 0);
        // SAFETY: valid places to write to; the string lives until the next call.
        unsafe {
            let status =
                (self.library.0.XGBoosterGetAttr)(self.handle, name.as_ptr(), &mut value, &mut found);
            self.library.check(status)?;
            let is_there = found != 0 && !value.is_null();
            Ok(is_there.then(|| CStr::from_ptr(value).to_string_lossy().into_owned()))
        }
    }

    /// Adds one round.
    pub fn update(&self, round: i32, train: &Matrix) -> Result<()> {
        // SAFETY: both handles are live.
        let status = unsafe { (self.library.0.XGBoosterUpdateOneIter)(self.handle, round, train.handle) };
        self.library.check(status)
    }

    /// The metrics of each matrix: (matrix, metric, value), in the order of the library.
    pub fn evaluate(&self, round: i32, matrices: &[(&str, &Matrix)]) -> Result<Vec<(String, String, f64)>> {
        let handles: Vec<Handle> = matrices.iter().map(|(_, matrix)| matrix.handle).collect();
        let names: Vec<CString> = matrices.iter().map(|(name, _)| text(name)).collect::<Result<_>>()?;
        let pointers: Vec<Text> = names.iter().map(|name| name.as_ptr()).collect();
        let mut line = ptr::null();
        // SAFETY: as many handles and names as said; the answer lives until the next call.
        let line = unsafe {
            let status = (self.library.0.XGBoosterEvalOneIter)(
                self.handle,
                round,
                handles.as_ptr(),
                pointers.as_ptr(),
                handles.len() as u64,
                &mut line,
            );
            self.library.check(status)?;
            CStr::from_ptr(line).to_string_lossy().into_owned()
        };
        // [0]\ttrain-rmse:0.5\tvalidation-rmse:0.6
        let metric = |word: &str| {
            let (name, value) = word.rsplit_once(':')?;
            let (matrix, metric) = name.split_once('-')?;
            Some((matrix.to_owned(), metric.to_owned(), value.parse().ok()?))
        };
        line.split('\t')
            .skip(1)
            .map(|word| metric(word).ok_or_else(|| format!("unknown metric {word:?}")))
            .collect()
    }

    /// The predictions for each row of the matrix, `outputs` values a row.
    pub fn predict(&self, matrix: &Matrix) -> Result<Predictions> {
        let config = config(json!({
            "type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": true
        }))?;
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        // SAFETY: valid places to write to; with a strict shape there are at least two
        // dimensions, whose product is the number of values; all of it lives until the next call.
        unsafe {
            let status = (self.library.0.XGBoosterPredictFromDMatrix)(
                self.handle,
                matrix.handle,
                config.as_ptr(),
                &mut shape,
                &mut dimensions,
                &mut values,
            );
            self.library.check(status)?;
            let shape = std::slice::from_raw_parts(shape, dimensions as usize);
            let count = shape.iter().product::<u64>() as usize;
            let rows = shape.first().copied().unwrap_or(0).max(1) as usize;
            let values = std::slice::from_raw_parts(values, count).to_vec();
            Ok(Predictions { outputs: (count / rows).max(1), values })
        }
    }

    /// The model up to this round (exclusive).
    pub fn first_rounds(&self, rounds: i32) -> Result<Self> {
        let mut booster = Self { library: self.library.clone(), handle: ptr::null_mut() };
        // SAFETY: a valid place to write the handle to.
        let status =
            unsafe { (self.library.0.XGBoosterSlice)(self.handle, 0, rounds, 1, &mut booster.handle) };
        match status {
            -2 => Err(format!("the model has no {rounds} rounds")),
            status => self.library.check(status).map(|()| booster),
        }
    }

    /// The model as UBJSON.
    pub fn save(&self) -> Result<Vec<u8>> {
        let config = config(json!({ "format": "ubj" }))?;
        let (mut length, mut bytes) = (0, ptr::null());
        // SAFETY: valid places to write to; the bytes live until the next call.
        unsafe {
            let status = (self.library.0.XGBoosterSaveModelToBuffer)(
                self.handle,
                config.as_ptr(),
                &mut length,
                &mut bytes,
            );
            self.library.check(status)?;
            Ok(std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize).to_vec())
        }
    }

    /// Replaces the model by a saved one.
    pub fn load(&self, model: &[u8]) -> Result<()> {
        // SAFETY: as many bytes as said, which live during the call.
        let status = unsafe {
            (self.library.0.XGBoosterLoadModelFromBuffer)(
                self.handle,
                model.as_ptr().cast(),
                model.len() as u64,
            )
        };
        self.library.check(status)
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is the library's and used by nobody else any more.
            unsafe { (self.library.0.XGBoosterFree)(self.handle) };
        }
    }
}

/// What a model says of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    pub values: Vec<f32>,
    /// Values a row.
    pub outputs: usize,
}

/// The array interface of one vector, as the library reads it.
fn row<T>(values: &[T], kind: &str) -> Result<CString> {
    interface(values.as_ptr().cast(), &[values.len()], kind)
}

/// The array interface of rows of `width` values.
fn dense(values: &[f32], width: usize) -> Result<CString> {
    interface(values.as_ptr().cast(), &[values.len() / width.max(1), width], "<f4")
}

fn interface(data: *const c_void, shape: &[usize], kind: &str) -> Result<CString> {
    let interface = json!({ "data": [data.addr(), true], "shape": shape, "typestr": kind, "version": 3 });
    text(&interface.to_string())
}

/// Stands for NaN, which the library's JSON knows and `serde_json` does not.
const MISSING: &str = "NaN";

fn config(config: serde_json::Value) -> Result<CString> {
    text(&config.to_string().replace("\"NaN\"", MISSING))
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| format!("{text:?} holds a NUL"))
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn errors_of_the_library_lose_their_stack_trace() {
        let words = "[01:02:03] /src/objective.cu:58: label: must be\n in [0,1]\nStack trace:\n  [bt] (0)";
        assert_eq!(first_sentence(words), "label: must be in [0,1]");
        assert_eq!(first_sentence("Unknown objective"), "Unknown objective");
    }
}

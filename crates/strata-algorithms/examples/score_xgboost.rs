//! How long one answer of an XGBoost model takes: the walk alone, and all of parse, walk and format.
//!
//!     cargo run --release -p strata-algorithms --example score_xgboost -- MODEL_FOLDER [RIVAL_NS]
//!
//! The model must have 10 features (100 trees of depth 6 for the figure the documents quote).
//! `RIVAL_NS` is what another program needs for one row of the same model, e.g. XGBoost's own C API;
//! the ratio to it is printed.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use strata_algorithms::xgboost::serve;
use strata_base::predictor::{Request, Scorer};

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: score_xgboost MODEL_FOLDER [RIVAL_NS]")?;
    let rival: Option<f64> = arguments.next().and_then(|text| text.parse().ok());
    let folder = Path::new(&folder);
    let model = serve::load_model(folder)?;
    let width = model.width();

    // Numbers of six decimals, as clients send them; a fixed little generator.
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from((state >> 8) as i32 - (1 << 23)) / f64::from(1 << 22)
    };
    let rows: Vec<f32> = (0..1000 * width).map(|_| next() as f32).collect();
    let mut holes = rows.clone();
    holes.iter_mut().step_by(7).for_each(|value| *value = f32::NAN);
    let text = |rows: &[f32]| {
        let lines: Vec<String> = rows
            .chunks(width)
            .map(|row| row.iter().map(|value| format!("{value:.6}")).collect::<Vec<_>>().join(","))
            .collect();
        lines.join("\n")
    };
    let request = |rows: &[f32]| Request {
        content_type: "text/csv".into(),
        body: text(rows).into(),
        ..Request::default()
    };
    let singles: Vec<Request> = rows.chunks(width).map(request).collect();
    let hundred = request(&rows[..100 * width]);

    println!("{} trees, {width} features, {} KB in memory", model.trees(), model.size() / 1024);
    let walk = measure(|call| {
        let row = &rows[call % 1000 * width..][..width];
        black_box(model.predict(black_box(row)).ok());
    });
    println!("walk, 1 row                      {walk:9.0} ns");
    let missing = measure(|call| {
        let row = &holes[call % 1000 * width..][..width];
        black_box(model.predict(black_box(row)).ok());
    });
    println!("walk, 1 row, values missing      {missing:9.0} ns");
    let batch = measure(|_| {
        black_box(model.predict(black_box(&rows[..100 * width])).ok());
    });
    println!("walk, 100 rows                   {batch:9.0} ns");
    let whole = measure(|call| {
        black_box(model.score(black_box(&singles[call % 1000])).ok());
    });
    println!("parse + walk + format, 1 row     {whole:9.0} ns");
    let whole_batch = measure(|_| {
        black_box(model.score(black_box(&hundred)).ok());
    });
    println!("parse + walk + format, 100 rows  {whole_batch:9.0} ns");
    if let Some(rival) = rival {
        println!("ratio to the rival's {rival:.0} ns: {:.1}x", rival / walk);
    }
    Ok(())
}

/// Nanoseconds a call: the best of 30 rounds, which other work on the machine disturbs least.
fn measure(mut call: impl FnMut(usize)) -> f64 {
    let mut count = 0;
    let mut best = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        let mut calls = 0u32;
        while calls < 1000 && (!calls.is_multiple_of(10) || start.elapsed().as_millis() < 50) {
            call(count);
            count += 1;
            calls += 1;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

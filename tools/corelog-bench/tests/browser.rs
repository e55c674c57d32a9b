//! The comparison's page in a real browser, headless Chromium: every curve is drawn, no script fails, nothing is loaded.
//!
//! Without a browser the tests say SKIPPED and pass; CORELOG_BROWSER names another one. Pictures are left in
//! `target/browser/`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

#[path = "report/planted.rs"]
mod planted;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use corelog_bench::measure::{Limit, LimitKind, Timing};
use corelog_bench::report::compare::Side;
use corelog_bench::report::html;
use planted::Plan;

const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("browser");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The first browser that answers, installed if there is none; or a line that the test is skipped.
fn browser() -> Option<String> {
    let named = std::env::var("CORELOG_BROWSER").ok();
    let candidates = match &named {
        Some(name) => vec![name.as_str()],
        None => vec!["chromium", "chromium-browser", "google-chrome"],
    };
    let mut said = String::new();
    if named.is_none() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/setup.sh");
        let done = Command::new("bash").arg(script).output().unwrap();
        said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    }
    let runs =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success());
    let found = candidates.iter().copied().find(runs).map(str::to_owned);
    if found.is_none() {
        skipped(&format!("none of the browsers {} runs here {said}", candidates.join(", ")));
    }
    found
}

/// Said past the harness, which keeps what passing tests print.
fn skipped(why: &str) {
    let line = format!("SKIPPED  {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Runs the browser on a page with a profile of its own, and returns what it writes.
fn visit(browser: &str, arguments: &[&str], page: &Path) -> String {
    let profile = tempfile::tempdir_in(folder()).unwrap();
    let done = Command::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=4000", "--run-all-compositor-stages-before-draw"])
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{browser} failed: {errors}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn sides() -> Vec<Side> {
    let timings = vec![Timing::Produce, Timing::EndToEnd];
    let side = |name: &str, median_us: f64, rate: u64, runs: u64, stall_at: Option<u64>| Side {
        name: name.to_owned(),
        runs: (0..runs)
            .map(|seed| {
                let (timings, seconds) = (timings.clone(), 30);
                let seed = seed + median_us as u64;
                planted::run(&Plan {
                    seed,
                    seconds,
                    warm_up_s: 5,
                    records_per_second: rate,
                    median_us,
                    stall_at,
                    timings,
                })
            })
            .collect(),
    };
    let mut sides = vec![
        side("Apache Kafka 4.2", 2_400.0, 1_700, 3, None),
        side("corelog", 900.0, 2_100, 3, Some(20)),
        side("corelog, acks=1 </script><b>&\"'", 700.0, 2_200, 1, None),
    ];
    sides[2].runs[0].workload.producer.acks = 1;
    sides[2].runs[0].verdict.limits = vec![Limit {
        kind: LimitKind::ClientBusy,
        sentence: "the client was the limit: its busiest thread computed 99 % of the time".to_owned(),
    }];
    sides[0].runs[1].verdict.complete = false;
    sides[0].runs[1].verdict.reason = Some("Ctrl-C after 21 s".to_owned());
    sides
}

fn page_file(name: &str, sides: &[Side]) -> (PathBuf, String) {
    let page = html::page(sides).unwrap();
    let path = folder().join(name);
    std::fs::write(&path, &page).unwrap();
    (path, page)
}

#[test]
fn the_page_names_no_other_place() {
    let (_, page) = page_file("static.html", &sides());
    assert!(page.contains(&format!("http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"")));
    // The SVG namespace is a name, not a place.
    let rest = page.replace("http://www.w3.org/2000/svg", "");
    for place in ["http:", "https:", "src=", "<link", "@import", "url("] {
        assert!(!rest.contains(place), "the page holds {place}");
    }
    assert!(!page.contains("<b>&\"'"), "a side's name reached the page unescaped");
    assert_eq!(page.matches("</script>").count(), 2);
}

#[test]
fn every_curve_is_drawn_and_no_script_fails() {
    let Some(browser) = browser() else { return };
    let (path, _) = page_file("compare.html", &sides());
    let dom = visit(&browser, &["--window-size=1200,1000", "--dump-dom"], &path);
    assert!(dom.contains("data-ready=\"1\""), "the script did not come to its end: {}", &dom[..400]);
    assert!(!dom.contains("data-error"), "a script failed: {}", &dom[..400]);
    assert_eq!(dom.matches("data-curves=\"7\"").count(), 3, "each chart shows the seven runs");
    assert_eq!(dom.matches("class=\"curve\"").count(), 3 * 7);
    for tick in [">99.9 %<", ">99.99 %<"] {
        assert!(dom.contains(tick), "the axis of percentiles lacks {tick}");
    }
    let picture = folder().join("compare.png");
    let _ = std::fs::remove_file(&picture);
    visit(&browser, &["--window-size=1200,1900", &format!("--screenshot={}", picture.display())], &path);
    assert!(std::fs::metadata(&picture).unwrap().len() > 20_000, "the picture is nearly empty");
}

#[test]
fn hiding_runs_switching_axes_and_hovering_work() {
    let Some(browser) = browser() else { return };
    let (path, page) = page_file("used.html", &sides());
    // The page's own buttons and keys, pressed by a script of the test.
    let test = r##"<script>
      document.querySelector(".legend .side").click();
      [...document.querySelectorAll(".choice button")].find((b) => b.textContent === "linear").click();
      [...document.querySelectorAll(".choice button")].find((b) => b.textContent === "produce").click();
      const plot = document.querySelector("#percentiles svg.plot");
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
      document.body.dataset.used = [document.getElementById("percentiles").dataset.curves,
        document.querySelectorAll("#percentiles .readout div").length,
        document.querySelectorAll("#percentiles .dot").length,
        document.querySelectorAll(".legend .side[aria-pressed=false]").length].join(" ");
    </script></body>"##;
    std::fs::write(&path, page.replace("</body>", test)).unwrap();
    let dom = visit(&browser, &["--window-size=1200,1000", "--dump-dom"], &path);
    assert!(!dom.contains("data-error"), "a script failed: {}", &dom[..400]);
    assert!(dom.contains("data-used=\"4 4 4 1\""), "hiding the first side leaves four runs");
    assert!(dom.contains("produce latency, ms"));
}

#[test]
fn a_page_of_one_run_without_latencies_is_drawn() {
    let Some(browser) = browser() else { return };
    let plan = Plan { seconds: 1, warm_up_s: 0, timings: Vec::new(), ..Plan::default() };
    let side = Side { name: "one".to_owned(), runs: vec![planted::run(&plan)] };
    let (path, _) = page_file("bare.html", &[side]);
    let dom = visit(&browser, &["--window-size=360,800", "--dump-dom"], &path);
    assert!(dom.contains("data-ready=\"1\"") && !dom.contains("data-error"), "{}", &dom[..400]);
    assert!(dom.contains("No run with these figures is shown."));
}

//! The report as one HTML page that needs nothing else.

use std::fmt::Write;

use crate::Report;
use crate::report::markdown::Part;

const STYLE: &str = "body{font:15px/1.4 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:0 0 1em}th,td{border:1px solid #999;padding:.2em .5em;\
text-align:left;vertical-align:top}dt{font-weight:bold}dd{margin:0 0 .3em 1em}";

impl Report {
    /// For people; times are in UTC. Prints well.
    pub fn html(&self) -> String {
        let title = format!("Report of run {}", self.run.short(4));
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
             <style>{STYLE}</style></head><body>\n",
            escaped(&title)
        );
        for part in self.parts() {
            part.html(&mut out);
        }
        out.push_str("</body></html>\n");
        out
    }
}

impl Part {
    fn html(&self, out: &mut String) {
        // Writing into a string cannot fail.
        let _ = match self {
            Part::Title(text) => writeln!(out, "<h1>{}</h1>", escaped(text)),
            Part::Section(text) => writeln!(out, "<h2>{}</h2>", escaped(text)),
            Part::Text(text) => writeln!(out, "<p>{}</p>", escaped(&text.replace('`', ""))),
            Part::Pairs(pairs) => {
                let _ = writeln!(out, "<dl>");
                for (label, text) in pairs {
                    let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(label), escaped(text));
                }
                writeln!(out, "</dl>")
            }
            Part::Table { title, rows, .. } if rows.is_empty() => {
                writeln!(out, "<h2>{}</h2><p>None.</p>", escaped(title))
            }
            Part::Table { title, heads, rows } => {
                let line = |tag: &str, cells: &[String]| {
                    let cells = cells.iter().map(|text| format!("<{tag}>{}</{tag}>", escaped(text)));
                    format!("<tr>{}</tr>", cells.collect::<String>())
                };
                let _ = writeln!(out, "<h2>{}</h2><table>{}", escaped(title), line("th", heads));
                for row in rows {
                    let _ = writeln!(out, "{}", line("td", row));
                }
                writeln!(out, "</table>")
            }
        };
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! The result as one page: HTML text and drawings that are readable without a script and load nothing. A script of the
//! page adds sorting and shows single cells of the maps.
//!
//! Colours are attributes of the drawings, so that they exist where style sheets are not allowed. `style.css` replaces
//! them by those for light, dark and print.

mod bands;
mod chart;
mod evidence;
mod head;
mod heat_map;
mod lag_lines;
mod latency;
mod lines;
mod owners;
mod page;
mod partitions;
mod parts;
mod repeat;
mod scale;
mod slowest;
mod stages;
mod waterfall;

pub use page::{html_document, html_page};
pub use parts::PageParts;

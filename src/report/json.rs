//! A summary as JSON.

use super::renderer::Renderer;

/// The summary as `result.json` has it.
pub(super) const JSON: Renderer = Renderer {
    name: "json",
    meaning: "The content of result.json, without its checksums",
    is_for_programs: true,
    print: |summary, _| Ok(format!("{}\n", serde_json::to_string_pretty(summary)?)),
};

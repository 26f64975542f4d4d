//! `[log]`: the node's own lines.

use tracing_subscriber::EnvFilter;

use super::super::{LogConfig, LogFormat, reader::Reader};

const SECTION: &str = "log";

pub(super) fn read(reader: &mut Reader<'_>) -> LogConfig {
    let format = reader.get(
        SECTION,
        "format",
        LogFormat::Text,
        "Lines on standard error: \"text\", or \"json\" with timestamp, level, target, message and fields.",
    );
    let filter = reader.get(
        SECTION,
        "filter",
        "info".to_owned(),
        "What is logged: error, warn, info, debug or trace, or by module: \"info,gateway::data_plane=debug\".\nKEYWAY_LOG in the environment has the last word.",
    );
    if let Err(error) = EnvFilter::try_new(&filter) {
        reader.refuse(
            SECTION,
            "filter",
            error.to_string(),
            "name a level, or modules with a level each",
        );
    }
    LogConfig { format, filter }
}

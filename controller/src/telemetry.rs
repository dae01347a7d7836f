//! Log lines: to the error stream, as JSON for machines or as text for people.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::settings::LogFormat;

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("the log filter {filter:?}: {source}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody else in this process logs already.
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Logs what passes `filter` to the error stream, from now on and for the whole process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let subscriber = subscriber(format, filter, std::io::stderr)?;
    Ok(subscriber.try_init()?)
}

/// A subscriber that writes what passes `filter` to `writer`. The level of a line and its fields are the same in both
/// formats; a JSON line has the fields at its top, so that a query need not know how they nest.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
        // Colours are left out: the stream is as often a file as a terminal.
        LogFormat::Human => Box::new(lines.with_ansi(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("reconcile", notebook = "team-a/analysis").in_scope(|| {
                tracing::info!(transition = 7, "the home is attached");
                tracing::debug!("too much");
            });
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_has_its_fields_at_the_top() {
        let line: serde_json::Value = serde_json::from_str(logged(LogFormat::Json, "info").trim()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "the home is attached");
        assert_eq!(line["transition"], 7);
        assert_eq!(line["span"]["notebook"], "team-a/analysis");
    }

    #[test]
    fn a_line_for_people_is_plain_text() {
        let text = logged(LogFormat::Human, "info");
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("the home is attached") && text.contains("team-a/analysis"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours: {text:?}");
    }

    #[test]
    fn the_filter_decides() {
        assert_eq!(logged(LogFormat::Human, "debug").lines().count(), 2);
        assert_eq!(logged(LogFormat::Human, "error").lines().count(), 0);
        assert!(matches!(
            subscriber(LogFormat::Json, "rehost=loud", std::io::stderr),
            Err(TelemetryError::Filter { .. })
        ));
    }
}

//! Two reports side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Files;
use crate::compare::compare;
use crate::html::comparison_page;

/// Two reports.
#[derive(Clone, Debug, Args)]
pub(super) struct Compare {
    /// The report that the other is held against
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The other report
    #[arg(value_name = "B.json")]
    b: PathBuf,
    #[command(flatten)]
    files: Files,
}

impl Compare {
    /// Compares them.
    ///
    /// # Errors
    /// Why they cannot be compared, as a sentence.
    pub(super) fn go(&self) -> Result<ExitCode, String> {
        self.files.check()?;
        let found = compare(&self.a, &self.b).map_err(|error| error.to_string())?;
        self.files.write(&found.table(), &found, || comparison_page(&found))?;
        Ok(ExitCode::SUCCESS)
    }
}

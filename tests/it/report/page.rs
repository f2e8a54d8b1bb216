//! The report page and its files, over HTTP.

//! The options of the document, each of which is a flag and an environment variable too.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// The file that documents the defaults.
pub const DOCUMENT: &str = include_str!("../../onmic.toml");

/// Returns the command line: `--config`, `--healthcheck`, and one flag for every option of the document.
pub fn command() -> Command {
    let mut command = Command::new("onmic")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A live streaming gateway: RTMP and WHIP in, WHEP and LL-HLS out.")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .env("ONMIC_CONFIG")
                .value_parser(clap::value_parser!(PathBuf))
                .help("A TOML file; onmic.toml documents every option"),
        )
        .arg(
            Arg::new("healthcheck")
                .long("healthcheck")
                .action(ArgAction::SetTrue)
                .help("Ask the server that runs with this configuration whether it is healthy, and exit 0 if it is"),
        );
    for option in options() {
        let arg = Arg::new(option.flag.clone()).long(option.flag).value_name("VALUE").env(option.variable);
        let arg = if option.path.last().is_some_and(|key| key == "secret") { arg.hide_env_values(true) } else { arg };
        command = command.arg(arg.help(option.help));
    }
    command
}

/// One option of the document.
pub struct Opt {
    /// The section, if it is in one, and the key.
    pub path: Vec<String>,
    /// The name of the flag.
    pub flag: String,
    /// The name of the environment variable.
    pub variable: String,
    /// The help text of the flag.
    pub help: String,
    /// The default, whose kind is that of all values.
    pub default: Value,
}

impl Opt {
    fn new(path: Vec<String>, comment: &str, default: Value) -> Self {
        let flag = path.join("-").replace('_', "-");
        let variable = format!("ONMIC_{}", path.join("_").to_uppercase());
        let lines = comment.lines().filter_map(|line| line.trim().strip_prefix('#')).map(str::trim);
        let help = format!("{} [default: {default}]", lines.collect::<Vec<_>>().join(" "));
        Self { path, flag, variable, help, default }
    }

    /// Reads `text` as a value of the default's kind. Commas separate the items of a list.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        match &self.default {
            Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a number")),
            Value::Float(_) => text.parse().map(Value::Float).map_err(|_| format!("{text:?} is not a number")),
            Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is not true or false")),
            Value::Array(_) => {
                // An empty text is an empty list. An empty item is refused with those of the file.
                let items = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
                Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            _ => Ok(Value::String(text.to_owned())),
        }
    }
}

/// Returns the options of the document.
pub fn options() -> Vec<Opt> {
    let document: toml_edit::DocumentMut = DOCUMENT.parse().expect("the embedded document is valid, by test");
    let defaults: Table = DOCUMENT.parse().expect("the embedded document is valid, by test");
    let mut options = Vec::new();
    for (name, value) in &defaults {
        match value {
            Value::Table(section) => {
                let table = document[name].as_table().expect("the same document");
                for (key, value) in section {
                    options.push(Opt::new(vec![name.clone(), key.clone()], comment(table, key), value.clone()));
                }
            }
            value => options.push(Opt::new(vec![name.clone()], comment(&document, name), value.clone())),
        }
    }
    options
}

/// Returns the comment above the option.
fn comment<'a>(table: &'a toml_edit::Table, key: &str) -> &'a str {
    let prefix = table.key(key).and_then(|key| key.leaf_decor().prefix()).and_then(|prefix| prefix.as_str());
    // The first option of the file carries the file's own header, which ends at an empty line.
    prefix.and_then(|prefix| prefix.rsplit("\n\n").next()).unwrap_or_default()
}

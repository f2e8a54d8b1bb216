//! The one binary: parses the command line, sets up the log lines, and calls one function per subcommand.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use leadtrail::check::dialects;
use leadtrail::check::postbacks::{self, Profiles};
use leadtrail::cli::{
    Arguments, Command, ConfigCommand, FormCommand, PostbackCommand, RatesCommand, SchemaCommand,
};
use leadtrail::config::Config;
use leadtrail::receive::explain::Knowledge;
use leadtrail::say::say;
use leadtrail::service::{self, Installation, Role};
use leadtrail::store::{self, engine};
use leadtrail::{access, deliver, links, quarantine, rates, report, sql_shell, telemetry};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The engine's process must block signals before any thread starts: it comes before everything else.
    if let Command::ClickhouseEngine(child) = &arguments.command {
        return engine::child_main(child);
    }
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            complain(&causes.join(": "));
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(words: &str) {
    eprintln!("leadtrail: {words}");
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    telemetry::start().map_err(anyhow::Error::msg)?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    if let Command::Config(ConfigCommand::Defaults) = arguments.command {
        say(leadtrail::config::DEFAULTS.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(arguments.config.as_deref(), environment)?;
    match arguments.command {
        Command::Up(up) => service::up(config, up.demo),
        Command::Serve => service::serve(config),
        Command::Consume => service::consume(config),
        Command::Settle(settle) => service::settle(config, settle.once),
        Command::App => service::app(config),
        Command::Schema(SchemaCommand::Apply) => service::schema(config, true),
        Command::Schema(SchemaCommand::Check) => service::schema(config, false),
        Command::Report(question) => ask(config, &question),
        Command::Reconcile(question) => reconcile(config, &question),
        Command::Rates(command) => exchange_rates(config, &command),
        Command::Quarantine(command) => {
            let installation = Installation::open(config)?;
            let warehouse = installation.warehouse(Role::Ingest)?;
            let ops = installation.config.ops.listen;
            block_on(quarantine::run(&command, &warehouse, &installation.keys, ops))
        }
        Command::Webhook(command) => {
            let installation = Installation::open(config)?;
            let endpoints = installation.endpoints()?;
            let warehouse = || installation.warehouse(Role::Ingest);
            block_on(deliver::command::run(&command, &endpoints, warehouse))?
        }
        Command::Audit(arguments) => service::audit(config, arguments),
        Command::Replay(command) => service::replay(config, command),
        Command::Journal(command) => leadtrail::journal::command::run(&command, &config),
        Command::Sql(query) => {
            let installation = Installation::open(config)?;
            let warehouse = installation.warehouse(Role::Analyst)?;
            Ok(block_on(sql_shell::run(&query, warehouse.client()))?)
        }
        Command::Link(command) => links::command::run(&command, &Installation::open(config)?),
        Command::Key(command) => access::command::key(&command, &Installation::open(config)?),
        Command::User(command) => access::command::user(&command, &Installation::open(config)?),
        Command::Form(FormCommand::Explain { show_values }) => explain_form(config, show_values),
        Command::Config(ConfigCommand::Dialects { dialect }) => {
            let known = dialects::Dialects::load(&config.dialects_dir)?;
            say(dialects::listing::of(&known, dialect.as_deref())?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Form(FormCommand::Suggest { form, days }) => {
            let installation = Installation::open(config)?;
            let (meaning, warehouse) =
                (installation.meaning()?, installation.warehouse(Role::Ingest)?);
            let suggested = leadtrail::suggest::suggest(warehouse.client(), &meaning, &form, days);
            let suggested = block_on(suggested)?.map_err(|error| {
                anyhow::anyhow!("cannot ask the warehouse: {}", store::short(&error))
            })?;
            say(suggested.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Postback(PostbackCommand::Explain { profile }) => {
            explain_postback(config, profile.as_deref())
        }
        Command::Postback(PostbackCommand::Profiles) => list_profiles(&config),
        Command::Config(_) => {
            let installation = Installation::open(config)?;
            installation.meaning()?;
            installation.endpoints()?;
            say("configuration and sites are right");
            Ok(ExitCode::SUCCESS)
        }
        Command::ClickhouseEngine(_) => unreachable!("handled in main, before any thread"),
    }
}

fn explain_form(config: Config, show_values: bool) -> anyhow::Result<ExitCode> {
    let mut request = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut request)?;
    let installation = Installation::open(config)?;
    let text = leadtrail::receive::explain::request(
        &request,
        &Knowledge {
            registry: &installation.registry,
            doors: &installation.doors,
            meaning: &installation.meaning()?,
            config: &installation.config,
        },
        show_values,
    )?;
    say(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

fn exchange_rates(config: Config, command: &RatesCommand) -> anyhow::Result<ExitCode> {
    let base = config.settle.base_currency.clone();
    let warehouse = Installation::open(config)?.warehouse(Role::Ingest)?;
    let words = block_on(async {
        match command {
            RatesCommand::List => rates::command::list(warehouse.client(), &base).await,
            RatesCommand::Import { file } => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("rates: cannot read {}", file.display()))?;
                let source = file.file_name().unwrap_or_default().to_string_lossy();
                rates::command::import(warehouse.client(), &base, &text, &source).await
            }
        }
    })??;
    say(words.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn ask(config: Config, question: &report::command::ReportArguments) -> anyhow::Result<ExitCode> {
    let installation = Installation::open(config)?;
    let sites: Vec<String> = installation.registry.sites().map(|site| site.name.clone()).collect();
    let window = installation.config.settle.click_window_days;
    let fraud = report::question::FraudLimits::from(&installation.config.fraud);
    let client =
        || installation.warehouse(Role::Ingest).map(|warehouse| warehouse.client().clone());
    block_on(report::command::run(question, &sites, (window, fraud), client))
}

fn reconcile(
    config: Config,
    question: &leadtrail::reconcile::command::ReconcileArguments,
) -> anyhow::Result<ExitCode> {
    let installation = Installation::open(config)?;
    let sites: Vec<String> = installation.registry.sites().map(|site| site.name.clone()).collect();
    let postbacks: Vec<_> = installation.postbacks.profiles().collect();
    let known = leadtrail::reconcile::command::Known {
        postbacks: &postbacks,
        sites: &sites,
        keys: &installation.keys,
    };
    let client =
        || installation.warehouse(Role::Ingest).map(|warehouse| warehouse.client().clone());
    block_on(leadtrail::reconcile::command::run(question, known, client))
}

fn explain_postback(config: Config, profile: Option<&str>) -> anyhow::Result<ExitCode> {
    let installation = Installation::open(config)?;
    let profiles = Profiles::load(&installation.config.dialects_dir)?;
    let text = std::io::read_to_string(std::io::stdin()).context(
        "reading the request from standard input; it has to be text, as in GET /postback/network?…",
    )?;
    let sent = postbacks::explain::Sent::parse(&text);
    let known = postbacks::explain::Known {
        registry: &installation.registry,
        postbacks: &installation.postbacks,
        profiles: &profiles,
        keys: &installation.keys,
        fields_max: installation.config.edge.fields_max,
        now_ms: leadtrail::ids::now_millis(),
    };
    let text = sent.and_then(|sent| postbacks::explain::explain(&known, &sent, profile));
    say(text.map_err(anyhow::Error::msg)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn list_profiles(config: &Config) -> anyhow::Result<ExitCode> {
    for profile in Profiles::load(&config.dialects_dir)?.all() {
        let verified = if profile.verified { "" } else { ", not verified" };
        say(&format!("{:<20}{} ({}{verified})", profile.name, profile.network, profile.source));
    }
    Ok(ExitCode::SUCCESS)
}

//! `simulate`: what each strategy would make of a day of traffic, in a second.

mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use berry_core::config::{Diagnostic, Diagnostics};
use berry_core::{Config, Scenario, Source};
use berry_loadbalance::simulation::{Fleet, FleetError, SCENARIOS, Simulation};
use berry_loadbalance::{STRATEGIES, StrategyEntry, strategy};

use serde_json::json;

use crate::args::{Format, text};
use crate::failure::Faulty;
use crate::opened;
use crate::output::{self, Table};
use report::{Played, Row};

/// Stands for all scenarios, or all strategies.
const ALL: &str = "all";

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Configuration whose models are simulated; by default, the endpoints are the scenario's own
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Model of the configuration, by its key or name; by default, every enabled one
    #[arg(short, long, value_name = "MODEL", value_parser = text, requires = "config")]
    model: Option<String>,
    /// Scenario to play: one that ships with Berry, `all` of them, or a file (a name with a `.`)
    #[arg(short, long, value_name = "NAME|FILE", value_parser = text, default_value = "steady")]
    scenario: String,
    /// Strategies to compare
    #[arg(long, value_name = "NAMES", value_parser = text, value_delimiter = ',', default_value = ALL)]
    strategies: Vec<String>,
    /// Seed of what is left to chance
    #[arg(long, default_value = "1")]
    seed: u64,
    /// List the scenarios that ship with Berry
    #[arg(long)]
    list: bool,
    /// Print the file of a scenario that ships with Berry, to begin one's own with
    #[arg(long, value_name = "NAME", value_parser = text, conflicts_with = "list")]
    show: Option<String>,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Plays the scenarios and prints what came of them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        return list(options.format);
    }
    if let Some(name) = &options.show {
        let shipped = SCENARIOS.iter().find(|shipped| shipped.name == name);
        let shipped = shipped.with_context(|| unknown_scenario(name))?;
        return Ok(output::text(shipped.text)?);
    }
    let strategies = strategies(&options.strategies)?;
    let config = options.config.as_deref().map(opened::open).transpose()?;
    let mut played = Vec::new();
    for read in scenarios(&options.scenario)? {
        for (model, fleet) in fleets(config.as_ref(), options.model.as_deref(), &read)? {
            let played_one = play(&read.scenario, model, &fleet, &strategies, options.seed)?;
            played.push(played_one);
        }
    }
    match options.format {
        Format::Json => output::json(&played)?,
        Format::Text => {
            for one in &played {
                output::text(&one.text())?;
            }
            if played.len() > 1 {
                output::text(&report::summary(&played))?;
            }
        }
    }
    Ok(())
}

/// A scenario, and the file that describes it.
struct Read {
    source: Source,
    scenario: Scenario,
}

fn list(format: Format) -> anyhow::Result<()> {
    let mut table = Table::default();
    let mut rows = Vec::new();
    for Read { scenario, .. } in scenarios(ALL)? {
        rows.push(json!({ "name": scenario.name, "description": scenario.description }));
        table.row([scenario.name, scenario.description]);
    }
    match format {
        Format::Json => output::json(&rows),
        Format::Text => Ok(output::text(&table.to_string())?),
    }
}

fn play(
    scenario: &Scenario,
    model: Option<String>,
    fleet: &Fleet,
    strategies: &[&StrategyEntry],
    seed: u64,
) -> anyhow::Result<Played> {
    let simulation = Simulation {
        fleet,
        scenario,
        seed,
    };
    let mut rows = Vec::new();
    for entry in strategies {
        let built = strategy::build(entry.name)
            .with_context(|| format!("the strategy `{}` is not available", entry.name))?;
        rows.push(Row::new(entry.name, &simulation.run(built)));
    }
    Ok(Played {
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        model,
        endpoints: fleet.names().map(str::to_owned).collect(),
        strategies: rows,
    })
}

/// Returns the rows of the table of strategies that are asked for.
fn strategies(names: &[String]) -> anyhow::Result<Vec<&'static StrategyEntry>> {
    if names.iter().any(|name| name == ALL) {
        return Ok(STRATEGIES.iter().collect());
    }
    let found = names.iter().map(|name| {
        let entry = STRATEGIES.iter().find(|entry| entry.is_called(name));
        entry.with_context(|| {
            let known: Vec<&str> = STRATEGIES.iter().map(|entry| entry.name).collect();
            format!(
                "there is no strategy `{name}`; there are {}, and `{ALL}`",
                known.join(", ")
            )
        })
    });
    found.collect()
}

/// Returns the scenarios that are asked for.
fn scenarios(name: &str) -> anyhow::Result<Vec<Read>> {
    if name == ALL {
        let parsed = SCENARIOS
            .iter()
            .map(|shipped| parse(Source::new(shipped.name, shipped.text)));
        return parsed.collect();
    }
    let source = match SCENARIOS.iter().find(|shipped| shipped.name == name) {
        Some(shipped) => Source::new(shipped.name, shipped.text),
        None if name.contains(['.', '/']) => {
            Source::read(Path::new(name)).context("the scenario cannot be loaded")?
        }
        None => bail!(unknown_scenario(name)),
    };
    Ok(vec![parse(source)?])
}

fn unknown_scenario(name: &str) -> String {
    let known: Vec<&str> = SCENARIOS.iter().map(|shipped| shipped.name).collect();
    format!(
        "there is no scenario `{name}`; there are {}, `{ALL}`, and files whose name has a `.`",
        known.join(", ")
    )
}

fn parse(source: Source) -> anyhow::Result<Read> {
    match Scenario::parse(&source) {
        Ok(scenario) => Ok(Read { source, scenario }),
        Err(findings) => Err(Faulty { source, findings }.into()),
    }
}

/// Says why a scenario cannot be played with these endpoints, with the place where there is one.
fn unplayable(Read { source, scenario }: &Read, error: FleetError) -> anyhow::Error {
    match &error {
        FleetError::UnknownBackend { at, .. } => {
            let mut findings = Diagnostics::default();
            findings.push(Diagnostic::error(error.to_string()).at(at.clone()));
            Faulty {
                source: source.clone(),
                findings,
            }
            .into()
        }
        FleetError::Empty => {
            let context = format!("the scenario `{}` cannot be played", scenario.name);
            anyhow::Error::new(error).context(context)
        }
    }
}

/// Returns the endpoints to play with: of each model that is asked for, or the scenario's own.
fn fleets(
    config: Option<&Config>,
    wanted: Option<&str>,
    read: &Read,
) -> anyhow::Result<Vec<(Option<String>, Fleet)>> {
    let Some(config) = config else {
        let fleet = Fleet::of_scenario(&read.scenario);
        let fleet = fleet.map_err(|error| unplayable(read, error))?;
        return Ok(vec![(None, fleet)]);
    };
    let is_wanted = |model: &berry_core::Model| match wanted {
        Some(wanted) => model.key.as_str() == wanted || model.name.as_str() == wanted,
        None => model.enabled,
    };
    let models = config.models.iter().filter(|model| is_wanted(model));
    let fleets = models.map(|model| {
        let fleet = Fleet::of_model(model, &config.settings, &read.scenario);
        let fleet = fleet.map_err(|error| {
            let context = format!("the model `{}` cannot be played with", model.key);
            unplayable(read, error).context(context)
        })?;
        Ok((Some(model.name.to_string()), fleet))
    });
    let fleets: Vec<_> = fleets.collect::<anyhow::Result<_>>()?;
    if fleets.is_empty() {
        match wanted {
            Some(wanted) => {
                let known = config.models.iter().map(|model| model.name.as_str());
                let wrong = format!("the configuration has no model `{wanted}`");
                return Err(opened::unknown(&wrong, wanted, known));
            }
            None => bail!("the configuration has no enabled model"),
        }
    }
    Ok(fleets)
}

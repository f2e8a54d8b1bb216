//! Columns: which of a report's columns is what.
//!
//! In: a header line, what the operator says, the profile's names. Out: [`Columns`]. Refuses: a column that the operator names and the file
//! hasn't, with the nearest. Promises: the operator's word wins over the profile's, that over the usual ones; case, blanks and
//! signs in names don't matter.

use crate::check::postbacks::{Profile, Role};
use crate::config::nearest;

/// What a column says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The network's id of the conversion, or the order number.
    Transaction,
    /// Their word for what became of it.
    Status,
    /// What it is worth, as the postbacks say it.
    Amount,
    /// Of the amount.
    Currency,
    /// When it happened.
    Time,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Transaction, Self::Status, Self::Amount, Self::Currency, Self::Time];

    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Status => "status",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Time => "time",
        }
    }

    /// What networks usually call it, the more telling name first.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Transaction => &[
                "transactionid",
                "transaction",
                "txid",
                "conversionid",
                "actionid",
                "orderid",
                "ordernumber",
                "orderreference",
                "orderref",
                "order",
                "oid",
                "receipt",
                "invoiceid",
                "saleid",
                "tid",
                "reference",
                "id",
            ],
            Self::Status => &[
                "status",
                "state",
                "actionstatus",
                "orderstatus",
                "transactionstatus",
                "commissionstatus",
                "approvalstatus",
            ],
            Self::Amount => &[
                "payout",
                "amount",
                "saleamount",
                "orderamount",
                "ordervalue",
                "totalamount",
                "revenue",
                "commission",
                "commissionamount",
                "earnings",
                "value",
                "price",
                "total",
                "sum",
            ],
            Self::Currency => {
                &["currency", "currencycode", "payoutcurrency", "ordercurrency", "cur"]
            }
            Self::Time => &[
                "conversiontime",
                "conversiondate",
                "transactiondate",
                "eventtime",
                "eventdate",
                "orderdate",
                "datetime",
                "createdat",
                "created",
                "timestamp",
                "date",
                "time",
            ],
        }
    }

    fn roles(self) -> &'static [Role] {
        match self {
            Self::Transaction => &[Role::Transaction, Role::Order],
            Self::Status => &[Role::Status],
            Self::Amount => &[Role::Amount],
            Self::Currency => &[Role::Currency],
            Self::Time => &[Role::Time],
        }
    }
}

/// `amount=Commission (EUR)`, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it says.
    pub column: Column,
    /// The name in the file.
    pub name: String,
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, name) =
            text.split_once('=').ok_or("write role=name, as in amount=Commission")?;
        let column = Column::ALL.into_iter().find(|column| column.word() == word.trim());
        let column = column.ok_or_else(|| {
            let near = nearest(word, Column::ALL.iter().map(|column| column.word()));
            format!("unknown role `{word}`; did you mean `{near}`?")
        })?;
        Ok(Self { column, name: name.trim().to_owned() })
    }
}

/// Where each column stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns([Option<usize>; Column::ALL.len()]);

impl Columns {
    /// Reads a header; `None` where it names no transaction, so that it is none.
    pub fn of(header: &[String], named: &[Named], profile: Option<&Profile>) -> Option<Self> {
        let mut columns = Self::default();
        for column in Column::ALL {
            let said = named.iter().find(|one| one.column == column);
            columns.0[column as usize] = match said {
                Some(one) => position(header, &plain(&one.name)),
                None => by_profile(header, column, profile)
                    .or_else(|| column.usual().iter().find_map(|name| position(header, name))),
            };
        }
        columns.0[Column::Transaction as usize].map(|_| columns)
    }

    /// A value of a row, without blanks around it; empty where there is none.
    pub fn get<'a>(&self, row: &'a csv::StringRecord, column: Column) -> &'a str {
        self.0[column as usize].and_then(|place| row.get(place)).unwrap_or("").trim()
    }

    /// True where the file has it.
    pub fn has(&self, column: Column) -> bool {
        self.0[column as usize].is_some()
    }

    /// `amount = Commission, status = State`: what stands for what.
    pub fn words(&self, header: &[String]) -> String {
        let pairs = Column::ALL.iter().filter_map(|column| {
            let name = header.get(self.0[*column as usize]?)?;
            Some(format!("{} = {}", column.word(), name.trim()))
        });
        pairs.collect::<Vec<_>>().join(", ")
    }
}

fn by_profile(header: &[String], column: Column, profile: Option<&Profile>) -> Option<usize> {
    let names = column.roles().iter().map(|role| profile.map_or("", |one| one.name_of(*role)));
    names.filter(|name| !name.is_empty()).find_map(|name| position(header, &plain(name)))
}

fn position(header: &[String], plain_name: &str) -> Option<usize> {
    header.iter().position(|name| plain(name) == plain_name)
}

/// Letters and digits alone, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_operators_word_wins_and_the_usual_names_are_known() {
        let names = header(&["Date", "Order ID", "Sale Amount", "Commission", "Status"]);
        let found = Columns::of(&names, &[], None).unwrap();
        assert_eq!(
            found.words(&names),
            "transaction = Order ID, status = Status, amount = Sale Amount, time = Date"
        );
        let named = ["amount=commission".parse().unwrap()];
        let found = Columns::of(&names, &named, None).unwrap();
        assert!(found.words(&names).contains("amount = Commission"));
        assert_eq!(Columns::of(&header(&["Report of", "November"]), &[], None), None);
        assert!("amout=x".parse::<Named>().unwrap_err().contains("`amount`"));
    }
}

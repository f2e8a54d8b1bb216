//! What an event is worth: what was claimed, and what a network or tracker reports besides.
//!
//! In: what `check` found in a request. Out: parts of the record. Refuses: members that this program doesn't know. Promises: what is
//! empty takes no room in the record; money is as it was sent.

use serde::{Deserialize, Serialize};

use super::is_false;
use crate::money::{Amount, Currency};

/// What a conversion is worth, as it was claimed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub struct Worth {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub goal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
}

/// Whether the customer had bought before. The numbers are those of `conversions.new_customer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub enum NewCustomer {
    #[default]
    Unknown = 0,
    New = 1,
    Returning = 2,
}

/// What a second message about one transaction means. The numbers are those of `conversions.duplicate_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum Duplicates {
    /// Nothing new but its status: the first amount stands.
    #[default]
    Ignore = 1,
    /// The last amount that a message brings stands.
    Update = 2,
    /// Each message's amount is added.
    Add = 3,
    /// The last message stands, with or without an amount.
    Replace = 4,
}

/// A line of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The shop's own number; may be empty.
    pub sku: String,
    /// How many; ten-thousandths, like money.
    pub quantity: Amount,
    /// What the line costs, quantity included.
    pub amount: Amount,
}

/// What a network or tracker reports besides the worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Partner {
    /// The installed postback, as in `/postback/{name}`.
    pub postback: String,
    /// Their id of the conversion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub transaction: String,
    /// What makes two messages messages about one conversion: postback, offer and transaction, else click and goal.
    pub key: String,
    /// The click id as they sent it, where it isn't one of ours.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_click: String,
    /// Their word for the status.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub original_status: String,
    #[expect(missing_docs, reason = "the name says it all")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub coupon: String,
    /// Whether the customer had bought before.
    pub customer: NewCustomer,
    /// What a second message means.
    pub duplicates: Duplicates,
    /// True for a test of theirs or ours: kept, never counted.
    #[serde(skip_serializing_if = "is_false")]
    pub test: bool,
    #[expect(missing_docs, reason = "the name says it all")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax: Option<Amount>,
    #[expect(missing_docs, reason = "the name says it all")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Amount>,
    #[expect(missing_docs, reason = "the name says it all")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<Amount>,
    /// An amount that is a number and doesn't fit the column: to the last digit, as it was sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub amount_text: String,
    /// The lines of the order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Which of their parameters was odd, and how: a profile's own names and our flags, never values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<(String, String)>,
}

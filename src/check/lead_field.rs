//! Lead fields: what a form's fields can mean.
//!
//! In: a canonical name, as configuration has it. Out: a [`LeadField`]. Refuses: any other word. Promises: one name for each field,
//! the same in dialects, in mappings, in messages and as the column of `leads` where it has one.

/// Declares the fields.
macro_rules! fields {
    ($($name:ident $word:literal $says:literal;)*) => {
        /// What a field of a form means for a lead.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LeadField { $(#[doc = $says] $name),* }

        impl LeadField {
            /// All of them, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As configuration has it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

fields! {
    FirstName "first_name" "Given name.";
    MiddleName "middle_name" "What stands between given and family name.";
    LastName "last_name" "Family name.";
    FullName "full_name" "The whole name in one field.";
    Salutation "salutation" "Mr, Dr, …";
    Email "email" "E-mail address.";
    Phone "phone" "Telephone.";
    Mobile "mobile" "Mobile telephone.";
    Fax "fax" "Fax.";
    Company "company" "The company.";
    JobTitle "job_title" "What the person does there.";
    Department "department" "Where in the company.";
    Website "website" "The lead's own site.";
    Street "street" "Street and number.";
    City "city" "City.";
    State "state" "State, province, region.";
    Postcode "postcode" "Postal code.";
    Country "country" "Country.";
    Industry "industry" "The company's trade.";
    CompanySize "company_size" "How many work there.";
    Revenue "revenue" "What it turns over.";
    Subject "subject" "What the message is about.";
    Message "message" "What the person wrote.";
    Product "product" "What the person is interested in.";
    Budget "budget" "What it may cost.";
    OrderId "order_id" "The order that it is about.";
    Language "language" "The language that the person wants.";
    LeadSource "lead_source" "Where the form says the lead came from.";
    HeardAbout "heard_about" "Where the person says to have heard of us.";
    Rating "rating" "How warm the form says the lead is.";
    Campaign "campaign" "The campaign's id in the form's own system.";
    Owner "owner" "Who is to look after the lead.";
    BirthDate "birth_date" "Date of birth.";
    Age "age" "Age, or a band of ages.";
    Gender "gender" "Gender.";
    Income "income" "Income, or a band of incomes.";
    TaxNumber "tax_number" "The person's or the company's tax number.";
    CaseType "case_type" "What kind of case it is.";
    CaseReason "case_reason" "Why.";
    CasePriority "case_priority" "How urgent.";
    ConsentMarketing "consent_marketing" "Whether mail, calls and the like are wanted.";
    ConsentPrivacy "consent_privacy" "Whether the privacy notice or the terms were agreed to.";
    ConsentTime "consent_time" "When consent was given, as the form says.";
    OptOutEmail "opt_out_email" "Whether mail is unwanted.";
    OptOutPhone "opt_out_phone" "Whether calls are unwanted.";
    OptOutFax "opt_out_fax" "Whether faxes are unwanted.";
}

impl LeadField {
    /// The field of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_field() {
        for field in LeadField::ALL {
            assert_eq!(LeadField::parse(field.name()), Some(*field));
        }
        assert_eq!(LeadField::parse("emial"), None);
    }
}

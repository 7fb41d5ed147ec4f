//! Values of a question's parameters.

use std::collections::HashMap;

use datafusion::common::{ParamValues, ScalarValue};

use super::AskError;
use crate::question::{ParameterType, Question};

/// Binds parameters: those given, and the defaults of the rest.
pub(super) fn bind(question: &Question, given: &[(String, String)]) -> Result<ParamValues, AskError> {
    for (name, _) in given {
        if !question.parameters.iter().any(|p| p.name == *name) {
            let known: Vec<&str> = question.parameters.iter().map(|p| p.name.as_str()).collect();
            let known =
                if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            return Err(AskError::Parameter(format!(
                "question {} has no parameter {name:?}; {known}",
                question.name
            )));
        }
    }
    let mut bound = HashMap::new();
    for parameter in &question.parameters {
        let value = given
            .iter()
            .rev()
            .find(|(name, _)| *name == parameter.name)
            .map_or(&parameter.default, |(_, v)| v);
        if !parameter.choices.is_empty() && !parameter.choices.contains(value) {
            let what = format!("{} is {value:?}; it can be {}", parameter.name, parameter.choices.join(", "));
            return Err(AskError::Parameter(what));
        }
        let scalar = match parameter.kind {
            ParameterType::Text => ScalarValue::from(value.as_str()),
            ParameterType::Int => match value.parse::<i64>() {
                Ok(number) => ScalarValue::from(number),
                Err(_) => {
                    return Err(AskError::Parameter(format!(
                        "{} is {value:?}, not a whole number",
                        parameter.name
                    )));
                }
            },
        };
        bound.insert(parameter.name.clone(), scalar.into());
    }
    Ok(ParamValues::Map(bound))
}

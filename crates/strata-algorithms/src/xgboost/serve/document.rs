//! The parts of an XGBoost model file that predictions need, as `save_model` writes them.
//!
//! JSON and UBJSON files have the same members; numbers of the parameter blocks are text.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

#[derive(Debug, Deserialize)]
pub struct Document {
    pub learner: Learner,
}

#[derive(Debug, Deserialize)]
pub struct Learner {
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    pub gradient_booster: Booster,
    pub learner_model_param: LearnerParam,
    pub objective: Objective,
}

#[derive(Debug, Deserialize)]
pub struct LearnerParam {
    pub base_score: String,
    #[serde(default)]
    pub num_class: Text<u32>,
    pub num_feature: Text<u64>,
    #[serde(default)]
    pub num_target: Option<Text<u32>>,
}

#[derive(Debug, Deserialize)]
pub struct Objective {
    pub name: String,
}

/// All kinds of boosters at once: which members count depends on the name. (An enum tagged
/// by name would hold the whole file in memory a second time while it looks for the tag.)
#[derive(Debug, Deserialize)]
pub struct Booster {
    pub name: String,
    /// Of gbtree and gblinear.
    #[serde(default)]
    pub model: Model,
    /// Of dart.
    #[serde(default)]
    pub gbtree: Inner,
    #[serde(default)]
    pub weight_drop: Vec<f32>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Inner {
    #[serde(default)]
    pub model: Model,
}

#[derive(Debug, Default, Deserialize)]
pub struct Model {
    /// Of gblinear.
    #[serde(default)]
    pub weights: Vec<f32>,
    #[serde(default)]
    pub gbtree_model_param: TreesParam,
    #[serde(default)]
    pub trees: Vec<Tree>,
    /// By tree, the output it adds to.
    #[serde(default)]
    pub tree_info: Vec<u32>,
    /// Where each round's trees begin; absent before XGBoost 2.0.
    #[serde(default)]
    pub iteration_indptr: Vec<usize>,
}

#[derive(Debug, Default, Deserialize)]
pub struct TreesParam {
    #[serde(default)]
    pub num_parallel_tree: Option<Text<usize>>,
}

#[derive(Debug, Deserialize)]
pub struct Tree {
    pub left_children: Vec<i32>,
    pub right_children: Vec<i32>,
    pub split_indices: Vec<u32>,
    pub split_conditions: Vec<f32>,
    pub default_left: Vec<Flag>,
    /// 1 where the split is on a category; absent before XGBoost 1.3.
    #[serde(default)]
    pub split_type: Vec<u8>,
    #[serde(default)]
    pub categories: Vec<u32>,
    #[serde(default)]
    pub categories_nodes: Vec<u32>,
    #[serde(default)]
    pub categories_segments: Vec<usize>,
    #[serde(default)]
    pub categories_sizes: Vec<usize>,
    #[serde(default)]
    pub tree_param: TreeParam,
}

#[derive(Debug, Default, Deserialize)]
pub struct TreeParam {
    #[serde(default)]
    pub size_leaf_vector: Option<Text<u32>>,
}

/// A number written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number =
            text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"a number"))?;
        Ok(Self(number))
    }
}

/// `true`, or 1: files before XGBoost 1.7 hold booleans, later ones numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Flag;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a boolean or 0 or 1")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

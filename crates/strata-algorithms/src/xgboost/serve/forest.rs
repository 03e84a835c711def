//! Trees in one flat array, walked without branches.
//!
//! A node's children lie side by side, so a step is `left + (x >= threshold)`. A leaf is its
//! own left child and its threshold is NaN, which no value reaches: a walk of fixed length
//! stays on it. That removes the unpredictable branch of every level, and lets eight trees
//! (one row) or eight rows (one tree) be in flight at once.

use super::document::{Model, Tree};

/// 2^24: XGBoost passes categories as 32-bit floats, which count exactly up to here.
const CATEGORIES: u32 = 1 << 24;
const LANES: usize = 8;

/// Invariants, established by [`Forest::new`]: `left` and `left + 1` of an inner node, and
/// `left` of a leaf, are places in the same array; `feature` is below the forest's width.
/// Indexing is checked all the same; the checks cost nothing measurable.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Node {
    threshold: f32,
    feature: u32,
    left: u32,
    /// Of a leaf: its value. Of an inner node: 1 where missing values go right.
    payload: u32,
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.threshold.is_nan()
    }

    fn value(&self) -> f32 {
        f32::from_bits(self.payload)
    }
}

#[derive(Clone, Copy, Debug)]
struct Root {
    node: u32,
    /// Steps from the root to the deepest leaf.
    depth: u32,
    /// The output this tree adds to.
    group: u32,
}

#[derive(Debug)]
pub struct Forest {
    nodes: Vec<Node>,
    roots: Vec<Root>,
    /// By node, the sorted categories that go right; empty for a model without such splits.
    categories: Vec<Option<Box<[u32]>>>,
    groups: usize,
    width: usize,
}

impl Forest {
    /// Checks and lays out the trees. `weights` are dart's, one a tree. Only the trees of the
    /// first `rounds` are kept.
    pub fn new(
        model: &Model,
        weights: Option<&[f32]>,
        rounds: Option<usize>,
        groups: usize,
        width: usize,
    ) -> Result<Self, String> {
        if model.tree_info.len() != model.trees.len() {
            return Err(format!("{} trees, but tree_info for {}", model.trees.len(), model.tree_info.len()));
        }
        if let Some(weights) = weights
            && weights.len() != model.trees.len()
        {
            return Err(format!("{} trees, but weight_drop for {}", model.trees.len(), weights.len()));
        }
        let kept = match rounds {
            Some(rounds) => trees_of(model, rounds, groups),
            None => model.trees.len(),
        };
        let total: usize = model.trees.iter().map(|tree| tree.left_children.len()).sum();
        if total > i32::MAX as usize {
            return Err(format!("{total} nodes, more than can be addressed"));
        }
        let categorical = model.trees.iter().any(|tree| tree.split_type.contains(&1));
        let mut forest = Self { nodes: Vec::new(), roots: Vec::new(), categories: Vec::new(), groups, width };
        for (number, (tree, group)) in model.trees.iter().zip(&model.tree_info).take(kept).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[number]);
            let placed = if (*group as usize) < groups {
                forest.add(tree, *group, weight, categorical)
            } else {
                Err(format!("adds to output {group} of {groups}"))
            };
            placed.map_err(|problem| format!("tree {number} {problem}"))?;
        }
        Ok(forest)
    }

    fn add(&mut self, tree: &Tree, group: u32, weight: f32, categorical: bool) -> Result<(), String> {
        let size = tree.left_children.len();
        let equal = [
            tree.right_children.len(),
            tree.split_indices.len(),
            tree.split_conditions.len(),
            tree.default_left.len(),
        ];
        if size == 0 || equal.iter().any(|length| *length != size) {
            return Err("has lists of different lengths".into());
        }
        if tree.tree_param.size_leaf_vector.is_some_and(|size| size.0 > 1) {
            return Err("has vector leaves (multi_strategy multi_output_tree), which are not served; \
                        train with one_output_per_tree"
                .into());
        }
        let mut sets = category_sets(tree)?;

        // Breadth first from the root, giving places as children are met. Each node may be met
        // once, so the walk ends, and what cannot be reached (pruned nodes) is left out.
        let base = self.nodes.len();
        let mut order: Vec<(usize, u32)> = vec![(0, 0)];
        let mut met = vec![false; size];
        met[0] = true;
        let mut depth = 0;
        let mut next = 0;
        while let Some(&(node, level)) = order.get(next) {
            depth = level;
            let place = (base + next) as u32;
            next += 1;
            let (left, right) = (tree.left_children[node], tree.right_children[node]);
            let condition = tree.split_conditions[node];
            if left == -1 && right == -1 {
                let value = condition * weight;
                if !value.is_finite() {
                    return Err(format!("has the value {value} in leaf {node}"));
                }
                self.nodes.push(Node {
                    threshold: f32::NAN,
                    feature: 0,
                    left: place,
                    payload: value.to_bits(),
                });
                if categorical {
                    self.categories.push(None);
                }
                continue;
            }
            let feature = tree.split_indices[node];
            if feature as usize >= self.width {
                return Err(format!("splits on feature {feature} of {}", self.width));
            }
            let by_category = tree.split_type.get(node) == Some(&1);
            if condition.is_nan() && !by_category {
                return Err(format!("has no threshold at node {node}"));
            }
            self.nodes.push(Node {
                // Inner nodes must not look like leaves; a category split has no threshold.
                threshold: if by_category { 0.0 } else { condition },
                feature,
                left: (base + order.len()) as u32,
                payload: u32::from(!tree.default_left[node].0),
            });
            if categorical {
                let set = by_category.then(|| sets.get_mut(node).and_then(Option::take).unwrap_or_default());
                self.categories.push(set);
            }
            for child in [left, right] {
                let child = usize::try_from(child).ok().filter(|child| *child < size);
                let child = child.ok_or_else(|| format!("has a child outside it at node {node}"))?;
                if std::mem::replace(&mut met[child], true) {
                    return Err(format!("is no tree: node {child} is reached twice"));
                }
                order.push((child, level + 1));
            }
        }
        self.roots.push(Root { node: base as u32, depth, group });
        Ok(())
    }

    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    pub fn size(&self) -> usize {
        let categories: usize = self.categories.iter().flatten().map(|set| set.len() * 4).sum();
        self.nodes.len() * size_of::<Node>() + self.roots.len() * size_of::<Root>() + categories
    }

    /// Adds every tree's leaf to `sums`: one row of `width` values after another gives one
    /// row of `groups` sums after another, each summed in the order of the trees, as the
    /// library does.
    pub fn add_to(&self, rows: &[f32], sums: &mut [f32]) {
        if !self.categories.is_empty() {
            for (row, sums) in rows.chunks_exact(self.width).zip(sums.chunks_exact_mut(self.groups)) {
                self.row_with_categories(row, sums);
            }
            return;
        }
        // A row with nothing missing needs one comparison a step less.
        if rows.iter().any(|value| value.is_nan()) {
            self.rows::<true>(rows, sums);
        } else {
            self.rows::<false>(rows, sums);
        }
    }

    /// Adds the leaves of one row that names `named` of its features. No look through all the
    /// values: a sparse row may be millions wide.
    pub fn add_sparse(&self, row: &[f32], named: usize, sums: &mut [f32]) {
        if !self.categories.is_empty() {
            self.row_with_categories(row, sums);
        } else if named == self.width {
            self.row_by_trees::<false>(row, sums);
        } else {
            self.row_by_trees::<true>(row, sums);
        }
    }

    fn rows<const MISSING: bool>(&self, rows: &[f32], sums: &mut [f32]) {
        // Blocks keep rows and sums in the first-level cache while all trees pass over them.
        const BLOCK: usize = 8 * LANES;
        let blocks = rows.chunks(BLOCK * self.width).zip(sums.chunks_mut(BLOCK * self.groups));
        for (rows, sums) in blocks {
            let lanes = LANES * self.width;
            let whole = rows.len() / lanes;
            let (lane_rows, single_rows) = rows.split_at(whole * lanes);
            let (lane_sums, single_sums) = sums.split_at_mut(whole * LANES * self.groups);
            if whole > 0 {
                for root in &self.roots {
                    let parts =
                        lane_rows.chunks_exact(lanes).zip(lane_sums.chunks_exact_mut(LANES * self.groups));
                    for (rows, sums) in parts {
                        self.tree_by_rows::<MISSING>(*root, rows, sums);
                    }
                }
            }
            let singles = single_rows.chunks_exact(self.width).zip(single_sums.chunks_exact_mut(self.groups));
            for (row, sums) in singles {
                self.row_by_trees::<MISSING>(row, sums);
            }
        }
    }

    /// One row through eight trees at a time.
    fn row_by_trees<const MISSING: bool>(&self, row: &[f32], sums: &mut [f32]) {
        let (eights, rest) = self.roots.as_chunks::<LANES>();
        for roots in eights {
            let depth = roots.iter().map(|root| root.depth).max().unwrap_or(0);
            let leaves = self.walk::<MISSING, LANES>(roots.map(|root| root.node), depth, [row; LANES]);
            for (root, leaf) in roots.iter().zip(leaves) {
                sums[root.group as usize] += self.nodes[leaf as usize].value();
            }
        }
        for root in rest {
            let [leaf] = self.walk::<MISSING, 1>([root.node], root.depth, [row]);
            sums[root.group as usize] += self.nodes[leaf as usize].value();
        }
    }

    /// Eight rows through one tree.
    fn tree_by_rows<const MISSING: bool>(&self, root: Root, rows: &[f32], sums: &mut [f32]) {
        let mut lanes = [&rows[..0]; LANES];
        for (lane, row) in lanes.iter_mut().zip(rows.chunks_exact(self.width)) {
            *lane = row;
        }
        let leaves = self.walk::<MISSING, LANES>([root.node; LANES], root.depth, lanes);
        for (lane, leaf) in leaves.into_iter().enumerate() {
            sums[lane * self.groups + root.group as usize] += self.nodes[leaf as usize].value();
        }
    }

    #[inline(always)]
    fn walk<const MISSING: bool, const N: usize>(
        &self,
        mut at: [u32; N],
        depth: u32,
        rows: [&[f32]; N],
    ) -> [u32; N] {
        /// Lopsided trees (`grow_policy=lossguide`) are much deeper than most of their
        /// leaves: look now and then whether all lanes have arrived.
        const LOOK: u32 = 8;
        let nodes = self.nodes.as_slice();
        let mut left = depth;
        loop {
            for _ in 0..left.min(LOOK) {
                for lane in 0..N {
                    at[lane] = step::<MISSING>(nodes, rows[lane], at[lane]);
                }
            }
            left = left.saturating_sub(LOOK);
            if left == 0 || at.iter().all(|at| nodes[*at as usize].is_leaf()) {
                return at;
            }
        }
    }

    fn row_with_categories(&self, row: &[f32], sums: &mut [f32]) {
        for root in &self.roots {
            let mut at = root.node as usize;
            loop {
                let node = self.nodes[at];
                if node.is_leaf() {
                    sums[root.group as usize] += node.value();
                    break;
                }
                let value = row[node.feature as usize];
                let right = if value.is_nan() {
                    node.payload == 1
                } else if let Some(set) = &self.categories[at] {
                    // What is no category, or none the training saw, is not in the set.
                    value >= 0.0 && value < CATEGORIES as f32 && set.binary_search(&(value as u32)).is_ok()
                } else {
                    value >= node.threshold
                };
                at = node.left as usize + usize::from(right);
            }
        }
    }
}

#[inline(always)]
fn step<const MISSING: bool>(nodes: &[Node], row: &[f32], at: u32) -> u32 {
    let node = nodes[at as usize];
    let value = row[node.feature as usize];
    let mut right = value >= node.threshold;
    if MISSING {
        right |= value.is_nan() & (node.payload == 1) & !node.is_leaf();
    }
    node.left + u32::from(right)
}

/// How many trees the first `rounds` hold.
fn trees_of(model: &Model, rounds: usize, groups: usize) -> usize {
    let end = match model.iteration_indptr.get(rounds) {
        Some(end) => *end,
        None if model.iteration_indptr.is_empty() => {
            let parallel = model.gbtree_model_param.num_parallel_tree.map_or(1, |number| number.0.max(1));
            rounds.saturating_mul(parallel).saturating_mul(groups)
        }
        None => usize::MAX,
    };
    end.min(model.trees.len())
}

/// By node, the categories that go right.
fn category_sets(tree: &Tree) -> Result<Vec<Option<Box<[u32]>>>, String> {
    if !tree.split_type.contains(&1) {
        return Ok(Vec::new());
    }
    let broken = || "has broken lists of categories".to_owned();
    let size = tree.left_children.len();
    if tree.split_type.len() != size
        || tree.categories_segments.len() != tree.categories_nodes.len()
        || tree.categories_sizes.len() != tree.categories_nodes.len()
    {
        return Err(broken());
    }
    let mut sets = vec![None; size];
    let mut total = 0usize;
    let lists = tree.categories_nodes.iter().zip(&tree.categories_segments).zip(&tree.categories_sizes);
    for ((node, start), count) in lists {
        let end = start.checked_add(*count).ok_or_else(broken)?;
        let mut set = tree.categories.get(*start..end).ok_or_else(broken)?.to_vec();
        // Lists do not overlap in a good file, so their sum is bounded by the file.
        total += set.len();
        if total > tree.categories.len() || set.iter().any(|category| *category >= CATEGORIES) {
            return Err(broken());
        }
        set.sort_unstable();
        let slot = sets.get_mut(*node as usize).ok_or_else(broken)?;
        if slot.replace(set.into_boxed_slice()).is_some() {
            return Err(broken());
        }
    }
    Ok(sets)
}

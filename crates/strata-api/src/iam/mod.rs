//! IAM: roles, and what they may do (everything, in this version).

mod roles;
mod simulate;

use strata_platform::access::AccessError;
use strata_wire::Fault;

use crate::operation::Operations;

pub fn operations() -> Operations {
    let policies = "policies come later; every valid key may do everything, so leave the call out";
    let users = "users come later; use the root key, or a session of a role";
    Operations::new("iam")
        .refused("AttachRolePolicy", policies)
        .refused("CreateAccessKey", users)
        .refused("CreatePolicy", policies)
        .partial(
            "CreateRole",
            "The trust policy is kept and its form is checked, but it is not evaluated.",
            roles::create_role,
        )
        .refused("CreateUser", users)
        .real("DeleteRole", roles::delete_role)
        .real("GetRole", roles::get_role)
        .refused("GetUser", users)
        .real("ListRoles", roles::list_roles)
        .refused("PutRolePolicy", policies)
        .partial(
            "SimulatePrincipalPolicy",
            "Every valid key may do everything in this version, so each action is allowed.",
            simulate::simulate_principal_policy,
        )
}

fn fault(error: AccessError) -> Fault {
    match error {
        AccessError::NoRole(name) => no_such_role(&name),
        AccessError::RoleExists(name) => {
            Fault::new(409, "EntityAlreadyExists", format!("Role with name {name} already exists."))
        }
        AccessError::TooManyRoles(most) => {
            Fault::new(409, "LimitExceeded", format!("Cannot exceed quota for RolesPerAccount: {most}"))
        }
        AccessError::TrustPolicy(what) => Fault::new(400, "MalformedPolicyDocument", what),
        other => Fault::internal(other),
    }
}

fn no_such_role(name: &str) -> Fault {
    Fault::new(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationError", message)
}

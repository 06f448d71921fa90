"""What becomes of a stack: moto's engine, corrected where CloudFormation is stricter.

- A type or property that nobody plays is refused; moto leaves it out with a warning.
- A resource changes when what it refers to has changed, as a version behind an alias does.
- A failure is kept: events say which resource and why, and what was made is taken back.
- A deletion that fails leaves the stack in DELETE_FAILED, and can be asked for again.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

log = logging.getLogger(__name__)
REFERENCES = ("Ref", "Fn::GetAtt", "Fn::Sub")


def correct() -> None:
    """Puts these rules into moto's CloudFormation, of this process."""
    from moto.cloudformation import models, parsing

    class Strict(parsing.ResourceMap):
        """The resources of a stack; `_said` is what each was made from, references worked out."""

        def __init__(self, *words: Any, **more: Any) -> None:
            self._said: dict[str, Any] = {}
            self.events: list[tuple[str, str, str]] = []  # resource, status, reason
            super().__init__(*words, **more)

        def __getitem__(self, key: str) -> Any:
            known = key in self._parsed_resources
            try:
                found = super().__getitem__(key)
            except KeyError:
                raise
            except Exception as error:
                if key in self._resource_json_map and not self._told(key, "CREATE_FAILED"):
                    self.events.append((key, "CREATE_FAILED", str(error)))
                raise
            if not known and key in self._resource_json_map and found is not None:
                self._said[key] = self._resolved(key)
                self.events.append((key, "CREATE_COMPLETE", ""))
            return found

        def __iter__(self) -> Any:
            """What is there; asked for, what is not would be made."""
            return iter(
                [name for name in self._resource_json_map if name in self._parsed_resources]
            )

        def __len__(self) -> int:
            return len(list(iter(self)))

        def _told(self, key: str, status: str) -> bool:
            return any(each[:2] == (key, status) for each in self.events)

        def _resolved(self, key: str) -> Any:
            told = copy.deepcopy(self._resource_json_map[key])
            return parsing.clean_json(told.get("Properties", {}), self)

        def parse_ssm_parameter(self, value: str, value_type: str) -> str:
            """A public parameter that names a machine image names one of moto's."""
            if value.startswith("/aws/service/") and "Image::Id" in value_type:
                from moto.ec2.models import ec2_backends

                images = ec2_backends[self._account_id][self._region_name].describe_images()
                return str(images[0].id)
            return super().parse_ssm_parameter(value, value_type)

        def create(self, template: dict[str, Any]) -> bool:
            _refuse_unknown(template)
            return super().create(template)

        def update(self, template: dict[str, Any], parameters: Any = None) -> None:
            _refuse_unknown(template)
            before, self._template = self._resource_json_map, template
            if parameters:
                self.input_parameters = parameters
            for name in self.resolved_parameters:
                self._parsed_resources.pop(name, None)
            self.load_mapping()
            self.load_parameters()
            self.load_conditions()
            self._resource_json_map = template["Resources"]
            replaced: list[tuple[str, Any, Any]] = []
            for name in in_order(template["Resources"]):
                condition = template["Resources"][name].get("Condition")
                if condition and not self.lazy_condition_map[condition]:
                    continue
                if name not in self._parsed_resources:
                    _ = self[name]
                elif self._resolved(name) != self._said.get(name):
                    self._change(name, before.get(name), replaced)
            for name in [each for each in before if each not in template["Resources"]]:
                if (old := self._parsed_resources.pop(name, None)) is not None:
                    replaced.append((name, old, before[name]))
            for name, old, told in reversed(replaced):
                self._delete_resource(old, told)
                self.events.append((name, "DELETE_COMPLETE", ""))

        def _change(self, name: str, told: Any, replaced: list[tuple[str, Any, Any]]) -> None:
            old = self._parsed_resources[name]
            try:
                new: Any = parsing.parse_and_update_resource(
                    name,
                    copy.deepcopy(self._resource_json_map[name]),
                    self,
                    account_id=self._account_id,
                    region_name=self._region_name,
                )
            except Exception as error:
                self.events.append((name, "UPDATE_FAILED", str(error)))
                raise
            if new is not None:
                same = getattr(new, "physical_resource_id", 0) == getattr(
                    old, "physical_resource_id", 1
                )
                self._parsed_resources[name] = new
                if not same and (told or {}).get("UpdateReplacePolicy") != "Retain":
                    replaced.append((name, old, told))
            self._said[name] = self._resolved(name)
            self.events.append((name, "UPDATE_COMPLETE", ""))

        def delete(self) -> None:
            """In the reverse of the order in which they were made; what cannot go stays, named."""
            order = in_order(self._resource_json_map)
            failed: list[str] = []
            for name in reversed(order):
                told = self._resource_json_map[name]
                if told.get("DeletionPolicy") == "Retain" or name not in self._parsed_resources:
                    continue
                try:
                    self._delete_resource(self._parsed_resources[name], told)
                except Exception as error:
                    failed.append(name)
                    self.events.append((name, "DELETE_FAILED", str(error)))
                else:
                    del self._parsed_resources[name]
                    self.events.append((name, "DELETE_COMPLETE", ""))
            if failed:
                raise ValueError(f"The following resource(s) failed to delete: {failed}.")

        def _delete_resource(self, parsed_resource: Any, resource_json: dict[str, Any]) -> None:
            delete = getattr(parsed_resource, "delete", None)
            if hasattr(parsed_resource, "made") and delete is not None:
                delete(self._account_id, self._region_name)
            else:
                super()._delete_resource(parsed_resource, resource_json)

    for module in (parsing, models):
        setattr(module, "ResourceMap", Strict)  # noqa: B010 - mypy takes no class for another
    backend: Any = models.CloudFormationBackend
    backend.execute_change_set = _execute_change_set
    backend.create_change_set = _by_name(backend.create_change_set)
    models.ChangeSet.diff = _changes  # type: ignore[method-assign]
    backend.create_stack = _creating(backend.create_stack)
    backend.update_stack = _update_stack
    backend.delete_stack = _delete_stack


def in_order(resources: dict[str, Any]) -> list[str]:
    """Names of resources, each behind those that it refers to or depends on."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order or name in above:
            return
        for other in _named(resources[name]):
            if other in resources:
                visit(other, (*above, name))
        order.append(name)

    for name in resources:
        visit(name, ())
    return order


def _named(told: Any) -> list[str]:
    """What a resource's text refers to."""
    if isinstance(told, list):
        return [name for each in told for name in _named(each)]
    if not isinstance(told, dict):
        return []
    found: list[str] = []
    for key, value in told.items():
        if key == "Ref":
            found.append(str(value))
        elif key == "Fn::GetAtt":
            found.append(str(value[0] if isinstance(value, list) else value.partition(".")[0]))
        elif key == "DependsOn":
            found += [value] if isinstance(value, str) else value
        elif key == "Fn::Sub":
            text = value[0] if isinstance(value, list) else value
            found += [part.partition("}")[0].partition(".")[0] for part in text.split("${")[1:]]
            found += _named(value[1:]) if isinstance(value, list) else []
        else:
            found += _named(value)
    return found


def _refuse_unknown(template: dict[str, Any]) -> None:
    from moto.cloudformation import parsing

    known = parsing.get_model_map()
    types = {each["Type"] for each in template["Resources"].values()}
    if unknown := sorted(types - known.keys() - {"AWS::CDK::Metadata"}):
        raise ValueError(f"the rehearsal does not play {', '.join(unknown)}")


def _say(stack: Any, status: str, reason: str = "") -> None:
    stack._add_stack_event(status, resource_status_reason=reason or None)
    stack.status, stack.stack_status_reason = status, reason


def _say_resources(stack: Any) -> None:
    """Events of resources since this was called last."""
    from moto.cloudformation.models import Event

    for name, status, reason in stack.resource_map.events:
        resource = stack.resource_map._parsed_resources.get(name)
        told = stack.template_dict.get("Resources", {}).get(name, {})
        stack.events.append(
            Event(
                stack_id=stack.stack_id,
                stack_name=stack.name,
                logical_resource_id=name,
                physical_resource_id=str(getattr(resource, "physical_resource_id", "")),
                resource_type=told.get("Type", ""),
                resource_status=status,
                resource_status_reason=reason or None,
                resource_properties=None,
            )
        )
    stack.resource_map.events.clear()


def _take(stack: Any, template: Any, parameters: dict[str, Any] | None) -> None:
    """Makes a stack be as a template says.

    Raises:
        Exception: what a resource of it says; some are made and some are not.
    """
    stack.template = template
    stack._parse_template()
    stack.resource_map.update(stack.template_dict, parameters)
    if parameters:
        stack.parameters = parameters
    stack.output_map = stack._create_output_map()
    _ = stack.outputs  # an output that cannot be worked out fails the stack, as it does in AWS


def _apply(stack: Any, template: Any, parameters: dict[str, Any] | None, kind: str) -> None:
    """Creates or updates, and takes back what failed, as CloudFormation does."""
    old_template, old_parameters = stack.template, dict(stack.parameters)
    _say(stack, f"{kind}_IN_PROGRESS", "User Initiated")
    try:
        _take(stack, template, parameters)
    except Exception as error:
        log.warning("%s: %s", stack.name, error)
        _say_resources(stack)
        _back(stack, kind, old_template, old_parameters, str(error))
        return
    _say_resources(stack)
    _say(stack, f"{kind}_COMPLETE")


def _back(stack: Any, kind: str, template: Any, parameters: dict[str, Any], reason: str) -> None:
    prefix = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
    _say(stack, f"{prefix}_IN_PROGRESS", reason)
    try:
        if kind == "CREATE":
            stack.resource_map.delete()
        else:
            _take(stack, template, parameters)
    except Exception as error:
        _say_resources(stack)
        _say(stack, f"{prefix}_FAILED", str(error))
        return
    _say_resources(stack)
    _say(stack, f"{prefix}_COMPLETE", reason)


def _execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
    found = [
        each
        for number, each in self.change_sets.items()
        if change_set_name in (number, each.change_set_name)
        and stack_name in (None, each.stack_name, each.stack_id)
    ]
    if not found:
        from moto.cloudformation.exceptions import ValidationError

        raise ValidationError(change_set_name)
    change_set, stack = found[-1], self.stacks[found[-1].stack_id]
    if change_set.tags is not None:
        stack.tags = change_set.tags
    _apply(stack, change_set.template, change_set.parameters, change_set.change_set_type)
    change_set.execution_status = "EXECUTE_COMPLETE"


def _by_name(create: Any) -> Any:
    """A stack may be named by its ARN; moto looks for names alone."""

    def create_change_set(self: Any, stack_name: str, *words: Any, **more: Any) -> Any:
        known = self.stacks.get(stack_name)
        return create(self, known.name if known else stack_name, *words, **more)

    return create_change_set


def _changes(self: Any) -> list[Any]:
    """What a change set would change: by the template, and by values of parameters."""
    from moto.cloudformation.models import Change

    before, after = self.stack.resource_map._resource_json_map, self.template_dict["Resources"]
    resolved = self.stack.resource_map.resolved_parameters
    moved = {name for name, said in (self.parameters or {}).items() if resolved.get(name) != said}
    found = []
    for name in in_order(after):
        if name not in before:
            found.append(Change("Add", name, after[name]["Type"]))
        elif after[name] != before[name] or moved & set(_named(after[name])):
            found.append(Change("Modify", name, after[name]["Type"]))
            moved.add(name)  # and what refers to it
    return found + [
        Change("Remove", name, before[name]["Type"]) for name in before if name not in after
    ]


def _creating(create: Any) -> Any:
    """CreateStack by the same way: an empty stack, then all of the template at once."""

    def create_stack(self: Any, name: str, template: str, parameters: Any, **more: Any) -> Any:
        from moto.cloudformation.models import Stack

        stack = create(self, name, '{"Resources": {}}', {}, **more)
        assert isinstance(stack, Stack)
        stack.events.clear()
        _apply(stack, template, parameters, "CREATE")
        return stack

    return create_stack


def _update_stack(self: Any, *, name: str, template: str, **more: Any) -> Any:
    stack = self.get_stack(name)
    resolved = self._resolve_update_parameters(instance=stack, incoming_params=more["parameters"])
    if more["tags"] is not None:
        stack.tags = more["tags"]
    _apply(stack, template, resolved, "UPDATE")
    return stack


def _delete_stack(self: Any, name_or_stack_id: str) -> None:
    for number, stack in list(self.stacks.items()):
        if name_or_stack_id not in (number, stack.name):
            continue
        _say(stack, "DELETE_IN_PROGRESS", "User Initiated")
        try:
            stack.resource_map.delete()
        except Exception as error:
            _say_resources(stack)
            _say(stack, "DELETE_FAILED", str(error))
            return
        _say_resources(stack)
        _say(stack, "DELETE_COMPLETE")
        del self.stacks[number]
        self.deleted_stacks[stack.stack_id] = stack
